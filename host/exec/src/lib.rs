//! Runs one build step: namespaces, mounts, limits, network, seccomp.
//!
//! A [`Step`] is complete by itself; an [`Executor`] runs it. [`NativeExecutor`] does so with its own small helper,
//! [`OciExecutor`] through runc or crun. This crate knows no graph, cache key, image or plugin, and it is the only
//! one with `unsafe`.

#![expect(unsafe_code, reason = "makes system calls that have no safe wrapper")]

mod cdi;
mod cgroup;
mod defaults;
mod error;
mod executor;
mod files;
mod limits;
mod native;
mod network;
mod oci;
mod rootless;
mod seccomp;
mod step;

pub use cdi::DeviceError;
pub use cdi::DeviceGrants;
pub use cdi::DeviceRequest;
pub use cdi::Devices;
pub use error::ExecError;
pub use executor::Cancel;
pub use executor::Canceller;
pub use executor::Executor;
pub use executor::Exit;
pub use executor::Finding;
pub use executor::Output;
pub use executor::Stream;
pub use executor::Verdict;
pub use native::NativeExecutor;
pub use oci::OciExecutor;
pub use rootless::UserNamespace;
pub use rootless::enter_user_namespace;
pub use step::Access;
pub use step::BindLimits;
pub use step::Changes;
pub use step::DEFAULT_HOSTNAME;
pub use step::DeviceKind;
pub use step::DeviceNode;
pub use step::HOST_GATEWAY;
pub use step::MountSource;
pub use step::Network;
pub use step::Resources;
pub use step::RootFs;
pub use step::Security;
pub use step::Step;
pub use step::StepMount;
pub use step::Ulimit;
pub use step::User;
