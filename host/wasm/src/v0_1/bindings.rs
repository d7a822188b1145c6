//! What `bindgen!` makes of `kiln:plugin@0.1.0`: one set of types, and a module for each world.

/// The interfaces that the host offers, with their types.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod api {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "host-imports",
        imports: { default: async | trappable },
        with: {
            "kiln:plugin/content.tree": crate::call::handle::TreeHandle,
            "kiln:plugin/content.blob": crate::call::handle::BlobHandle,
            "kiln:plugin/objects.bucket": crate::call::handle::BucketHandle,
        },
    });
}

/// World `frontend-plugin`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod frontend {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "frontend-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "kiln:plugin": crate::v0_1::bindings::api::kiln::plugin },
    });
}

/// World `cataloger-plugin`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod cataloger {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "cataloger-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "kiln:plugin": crate::v0_1::bindings::api::kiln::plugin },
    });
}

/// World `scanner-plugin`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod scanner {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "scanner-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "kiln:plugin": crate::v0_1::bindings::api::kiln::plugin },
    });
}

/// World `cache-plugin`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod cache {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "cache-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "kiln:plugin": crate::v0_1::bindings::api::kiln::plugin },
    });
}
