//! Stories of users, told through the command line on real root file systems, registries and tools.

mod attest;
mod book;
mod cache;
mod cache_adapters;
mod cache_mounts;
mod call;
mod cancel;
mod contexts;
mod corpus;
mod crash;
mod debian;
mod debian_packages;
mod devices;
mod disk;
mod doctor;
mod elsewhere;
mod errors;
mod explain;
mod finder_attacks;
mod flags;
mod hello;
mod hostile;
mod leaks;
mod limits;
mod link;
mod mounts;
mod opaque;
mod outputs;
mod parallel;
mod platforms;
mod plugin;
mod plugin_attacks;
mod readme;
mod registry;
mod remote;
mod reproducible;
mod sbom;
mod sbom_alone;
mod sbom_rpm;
mod sbom_syft;
mod snapshots;
mod source_policy;
mod travelling_mounts;
mod unprivileged;

use kiln_tests::support::root_layout;

/// Returns `NAME=oci-layout://…` for `--build-context`: the root file system of that name.
fn root(name: &str) -> String {
    format!("{name}=oci-layout://{}", root_layout(name).display())
}
