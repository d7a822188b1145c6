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
        $crate::bindings::cache_plugin::export_cache_plugin!($ty with_types_in $crate::bindings::cache_plugin);
    };
}
