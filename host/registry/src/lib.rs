//! A client of container registries (OCI distribution specification 1.1): resolves names, fetches and pushes blobs and
//! manifests, mounts blobs from one repository to another.
//!
//! Everything that a registry answers is hostile: bodies are bounded, digests checked, credentials stay with the host
//! that they are for. Knows nothing of builds, and not what is inside a layer.

mod auth;
mod client;
mod credentials;
mod docker_config;
mod error;
mod http;

pub use client::{BlobSource, BlobStream, Client, Config, Proxies, Pushed, Resolved, Retry, RootCertificate};
pub use credentials::{CredentialError, Credentials, Login, NoCredentials};
pub use docker_config::DockerConfig;
pub use error::{RegistryError, Subject};
