//! The kind `scanner`: finds packages by looking through a tree.

pub use crate::bindings::api::kiln::plugin::sbom::Document;
pub use crate::bindings::api::kiln::plugin::sbom::PackageInfo;
pub use crate::bindings::api::kiln::plugin::sbom::Relation;
pub use crate::bindings::scanner_plugin::exports::kiln::plugin::scanner::Guest as Scanner;
pub use crate::bindings::scanner_plugin::exports::kiln::plugin::scanner::Report;

/// Makes a scanner plugin of a type that implements `Scanner`. Once in a `cdylib`.
#[macro_export]
macro_rules! export_scanner {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
        mod kiln_scanner_export {
            use $crate::scanner::Scanner;

            struct Exported;

            impl Scanner for Exported {
                fn scan(
                    root: &$crate::bindings::api::kiln::plugin::content::Tree,
                    options: Vec<$crate::types::Attr>,
                ) -> Result<$crate::scanner::Report, $crate::Error> {
                    $crate::panic::install_hook();
                    <super::$ty as Scanner>::scan(root, options)
                }
            }
            $crate::bindings::scanner_plugin::export_scanner_plugin!(
                Exported with_types_in $crate::bindings::scanner_plugin
            );
        }
    };
}
