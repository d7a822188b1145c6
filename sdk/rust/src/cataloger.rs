//! The kind `cataloger`: finds packages in files that are pushed to it.

pub use crate::bindings::api::kiln::plugin::sbom::PackageInfo;
pub use crate::bindings::api::kiln::plugin::sbom::Relation;
pub use crate::bindings::cataloger_plugin::exports::kiln::plugin::cataloger::Guest as Cataloger;
pub use crate::bindings::cataloger_plugin::exports::kiln::plugin::cataloger::Interest;
pub use crate::bindings::cataloger_plugin::exports::kiln::plugin::cataloger::Matched;

/// Makes a cataloger plugin of a type that implements `Cataloger`. Once in a `cdylib`.
#[macro_export]
macro_rules! export_cataloger {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
        mod kiln_cataloger_export {
            use $crate::cataloger::Cataloger;

            struct Exported;

            impl Cataloger for Exported {
                fn interests() -> Vec<$crate::cataloger::Interest> {
                    $crate::panic::install_hook();
                    <super::$ty as Cataloger>::interests()
                }

                fn catalog(
                    files: Vec<$crate::cataloger::Matched>,
                ) -> Result<Vec<$crate::cataloger::PackageInfo>, $crate::Error> {
                    $crate::panic::install_hook();
                    <super::$ty as Cataloger>::catalog(files)
                }
            }
            $crate::bindings::cataloger_plugin::export_cataloger_plugin!(
                Exported with_types_in $crate::bindings::cataloger_plugin
            );
        }
    };
}
