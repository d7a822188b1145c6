//! The kind `cache`: says where blobs and manifests of a cache are.

pub use crate::bindings::api::kiln::plugin::http;
pub use crate::bindings::api::kiln::plugin::objects;
pub use crate::bindings::cache_plugin::exports::kiln::plugin::cache::BlobRef;
pub use crate::bindings::cache_plugin::exports::kiln::plugin::cache::GetPlan;
pub use crate::bindings::cache_plugin::exports::kiln::plugin::cache::Guest as Cache;
pub use crate::bindings::cache_plugin::exports::kiln::plugin::cache::PutPlan;

/// Makes a cache plugin of a type that implements `Cache`. Once in a `cdylib`.
#[macro_export]
macro_rules! export_cache {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
        mod kiln_cache_export {
            use $crate::Error;
            use $crate::cache::BlobRef;
            use $crate::cache::Cache;
            use $crate::cache::GetPlan;
            use $crate::cache::PutPlan;

            struct Exported;

            // Nothing is called before `open`, so that is where panics begin to be heard.
            impl Cache for Exported {
                fn open(config: Vec<$crate::types::Attr>) -> Result<(), Error> {
                    $crate::panic::install_hook();
                    <super::$ty as Cache>::open(config)
                }

                fn plan_get(blobs: Vec<BlobRef>) -> Result<Vec<GetPlan>, Error> {
                    <super::$ty as Cache>::plan_get(blobs)
                }

                fn plan_put(blobs: Vec<BlobRef>) -> Result<Vec<PutPlan>, Error> {
                    <super::$ty as Cache>::plan_put(blobs)
                }

                fn get_manifest(name: String) -> Result<Option<Vec<u8>>, Error> {
                    <super::$ty as Cache>::get_manifest(name)
                }

                fn put_manifest(name: String, data: Vec<u8>) -> Result<(), Error> {
                    <super::$ty as Cache>::put_manifest(name, data)
                }

                fn commit(blobs: Vec<BlobRef>) -> Result<(), Error> {
                    <super::$ty as Cache>::commit(blobs)
                }
            }
            $crate::bindings::cache_plugin::export_cache_plugin!(
                Exported with_types_in $crate::bindings::cache_plugin
            );
        }
    };
}
