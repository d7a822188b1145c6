//! The base images of the cases, built once into a store that each case gets a copy of.

use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;
use kiln_tests::support::root_layout;

/// A store with the images `busybox` and `alpine`.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) store: Kiln,
    /// Entries of the history of `busybox`.
    pub(crate) history: usize,
    /// Layers of `busybox`.
    pub(crate) layers: usize,
}

impl Base {
    /// Builds the images from the layout of the busybox root file system.
    pub(crate) fn build() -> Self {
        let store = Kiln::new();
        let context = format!("base=oci-layout://{}", root_layout("busybox").display());
        let busybox = Project::new("FROM base\n");
        let archive = store.path("busybox.tar");
        let oci = format!("type=oci,dest={}", archive.display());
        let named = ["--build-context", &context];
        let image = [
            "-t",
            "docker.io/library/busybox:latest",
            "-o",
            "type=image",
            "-o",
            &oci,
        ];
        let _built = store.build(busybox.path(), &[&named[..], &image].concat()).ok();
        let alpine =
            Project::new("FROM base\nCOPY alpine-release /etc/\n").file("alpine-release", "3.22.0\n");
        let image = ["-t", "docker.io/library/alpine:latest", "-o", "type=image"];
        let _built = store.build(alpine.path(), &[&named[..], &image].concat()).ok();
        let image = Layout::open(&archive).image();
        let count = |value: &serde_json::Value| value.as_array().map_or(0, Vec::len);
        let (history, layers) = (
            count(&image.config["history"]),
            count(&image.config["rootfs"]["diff_ids"]),
        );
        Self {
            store,
            history,
            layers,
        }
    }
}
