//! Panics become lines of the plugin's log: without it the host sees nothing but a trap.

/// Installs the panic hook. The export macros do it before every call; natively it does nothing.
pub fn install_hook() {
    #[cfg(target_arch = "wasm32")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                use crate::bindings::api::kiln::plugin::log;
                log::log(log::Level::Error, &info.to_string());
            }));
        });
    }
}
