//! What `wit-bindgen` makes of the WIT package, one set of types for all worlds. Plugin authors use the other modules.

/// The interfaces that the host offers and the types that all worlds share.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
pub mod api {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "host-imports",
        generate_all,
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
    });
}

macro_rules! world {
    ($(#[$doc:meta])* $module:ident, $world:literal, $export:literal, $path:literal $(, $key:literal: $types:path)*) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            missing_debug_implementations,
            unsafe_code,
            unreachable_pub,
            unused_qualifications,
            unused_imports,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::undocumented_unsafe_blocks,
            reason = "generated"
        )]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                additional_derives: [PartialEq, Eq],
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                with: { $($key: $types),* },
            });
        }
    };
}

world!(
    /// World `frontend-plugin`.
    frontend_plugin, "frontend-plugin", "export_frontend_plugin", "kiln_sdk::bindings::frontend_plugin",
    "kiln:plugin/types@0.1.0": crate::bindings::api::kiln::plugin::types,
    "kiln:plugin/log@0.1.0": crate::bindings::api::kiln::plugin::log,
    "kiln:plugin/content@0.1.0": crate::bindings::api::kiln::plugin::content,
    "kiln:plugin/graph@0.1.0": crate::bindings::api::kiln::plugin::graph,
    "kiln:plugin/lowering@0.1.0": crate::bindings::api::kiln::plugin::lowering,
    "kiln:plugin/build@0.1.0": crate::bindings::api::kiln::plugin::build
);

world!(
    /// World `cataloger-plugin`.
    cataloger_plugin, "cataloger-plugin", "export_cataloger_plugin", "kiln_sdk::bindings::cataloger_plugin",
    "kiln:plugin/types@0.1.0": crate::bindings::api::kiln::plugin::types,
    "kiln:plugin/log@0.1.0": crate::bindings::api::kiln::plugin::log,
    "kiln:plugin/sbom@0.1.0": crate::bindings::api::kiln::plugin::sbom
);

world!(
    /// World `scanner-plugin`.
    scanner_plugin, "scanner-plugin", "export_scanner_plugin", "kiln_sdk::bindings::scanner_plugin",
    "kiln:plugin/types@0.1.0": crate::bindings::api::kiln::plugin::types,
    "kiln:plugin/log@0.1.0": crate::bindings::api::kiln::plugin::log,
    "kiln:plugin/content@0.1.0": crate::bindings::api::kiln::plugin::content,
    "kiln:plugin/sbom@0.1.0": crate::bindings::api::kiln::plugin::sbom
);

world!(
    /// World `cache-plugin`.
    cache_plugin, "cache-plugin", "export_cache_plugin", "kiln_sdk::bindings::cache_plugin",
    "kiln:plugin/types@0.1.0": crate::bindings::api::kiln::plugin::types,
    "kiln:plugin/log@0.1.0": crate::bindings::api::kiln::plugin::log,
    "kiln:plugin/objects@0.1.0": crate::bindings::api::kiln::plugin::objects,
    "kiln:plugin/http@0.1.0": crate::bindings::api::kiln::plugin::http
);
