//! Private networks for steps: namespaces that reach the outside through address translation, made when the first
//! step needs one and used again after it.
//!
//! As root: a pair of virtual interfaces for each namespace and one nftables table. In a user namespace: slirp4netns
//! or pasta. The kernel removes interfaces with their namespace, so a killed engine leaves none behind.

mod firewall;
mod netlink;
mod usermode;
mod veth;

use crate::ExecError;
use crate::HOST_GATEWAY;
use crate::Network;
use crate::Security;
use crate::Step;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Net;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// A prepared namespace, and the program that carries its traffic when the kernel does not.
#[derive(Debug)]
pub(crate) struct Namespace {
    fd: OwnedFd,
    carrier: Option<Child>,
    /// Where the machine is seen from inside, if it is.
    gateway: Option<Ipv4Addr>,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(carrier) = &mut self.carrier {
            let _ = carrier.kill();
            let _ = carrier.wait();
        }
    }
}

type Pool = Arc<Mutex<Vec<Namespace>>>;

/// The namespaces of one executor.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    idle: Pool,
}

/// The network of one step, given back when it is dropped.
#[derive(Debug)]
pub(crate) enum Lease {
    Host,
    Loopback,
    Private {
        namespace: Option<Namespace>,
        home: Option<Pool>,
    },
}

impl Networks {
    /// The network that the step asks for.
    pub(crate) async fn lease(&self, step: &Step) -> Result<Lease, ExecError> {
        match step.network {
            Network::Host => Ok(Lease::Host),
            Network::None => Ok(Lease::Loopback),
            Network::Default => {
                // An insecure step can change what is in its namespace, so that nobody may have it after it.
                let home = (step.security == Security::Sandbox).then(|| Arc::clone(&self.idle));
                let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let namespace = match idle {
                    Some(namespace) => namespace,
                    None => tokio::task::spawn_blocking(make)
                        .await
                        .map_err(|_| missing("the task that makes it was cancelled", "try again"))??,
                };
                Ok(Lease::Private {
                    namespace: Some(namespace),
                    home,
                })
            }
        }
    }
}

impl Lease {
    /// Puts the machine's address, as this network sees it, where hosts of the step stand for it.
    ///
    /// # Errors
    /// When the machine cannot be reached.
    pub(crate) fn resolve_hosts(&self, step: &mut Step) -> Result<(), ExecError> {
        let stands_for_it = HOST_GATEWAY.to_string();
        let gateway = match self {
            Self::Host => Some(Ipv4Addr::LOCALHOST),
            Self::Loopback => None,
            Self::Private { namespace, .. } => namespace.as_ref().and_then(|namespace| namespace.gateway),
        };
        for (_, address) in &mut step.extra_hosts {
            if *address == stands_for_it {
                let gateway = gateway.ok_or_else(|| {
                    missing(
                        "`host-gateway` has no address in it: the step cannot reach this machine",
                        "use `--network=host`, run as root, or give the host's address",
                    )
                })?;
                *address = gateway.to_string();
            }
        }
        Ok(())
    }

    /// The network in the helper's words.
    pub(crate) fn network(&self) -> Net {
        match self {
            Self::Host | Self::Private { namespace: None, .. } => Net::Host {},
            Self::Loopback => Net::Loopback {},
            Self::Private {
                namespace: Some(namespace),
                ..
            } => Net::Join {
                path: Bytes(path(&namespace.fd).into_bytes()),
            },
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Self::Private {
            namespace,
            home: Some(home),
        } = self
            && let Some(namespace) = namespace.take()
        {
            home.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(namespace);
        }
    }
}

/// A path under which other processes of this user find a namespace that this process holds.
fn path(namespace: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}

fn make() -> Result<Namespace, ExecError> {
    if crate::rootless::in_user_namespace() {
        usermode::make()
    } else {
        veth::make()
    }
}

/// How a private network would be made here, or why it cannot be.
pub(crate) fn describe() -> Result<String, ExecError> {
    if crate::rootless::in_user_namespace() {
        return usermode::find().map(|carrier| format!("through {}", carrier.name()));
    }
    firewall::find().map(|tool| format!("virtual interfaces, translated with {}", tool.name()))
}

fn missing(reason: impl Into<String>, hint: impl Into<String>) -> ExecError {
    ExecError::NoNetwork {
        reason: reason.into(),
        hint: hint.into(),
    }
}
