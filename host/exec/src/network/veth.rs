//! A namespace with a pair of virtual interfaces, for root.

use super::Namespace;
use super::firewall;
use super::missing;
use super::netlink;
use super::netlink::Netlink;
use super::netlink::Pair;
use crate::ExecError;
use rustix::io::Errno;
use std::fs;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// All addresses that steps get: networks of four, named by their interface `kilnN`.
pub(super) const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 214, 0, 0);
pub(super) const PREFIX: u8 = 16;
const NETWORKS: u32 = 1 << (30 - PREFIX);

/// Makes a namespace that reaches the outside.
pub(super) fn make() -> Result<Namespace, ExecError> {
    firewall::prepare()?;
    // A thread of its own, as the namespace is one of the thread's.
    let made = std::thread::spawn(connected)
        .join()
        .map_err(|_| missing("its thread panicked", "report this"))?;
    let (fd, gateway) = made.map_err(|(action, errno)| {
        let hint = "run as root or with CAP_NET_ADMIN and CAP_SYS_ADMIN, or give the step the network `none` or `host`";
        missing(format!("cannot {action}: {}", std::io::Error::from(errno)), hint)
    })?;
    Ok(Namespace {
        fd,
        carrier: None,
        gateway: Some(gateway),
    })
}

type Failed = (&'static str, Errno);

fn connected() -> Result<(OwnedFd, Ipv4Addr), Failed> {
    let at = |action: &'static str| move |errno| (action, errno);
    let mut outside = Netlink::open().map_err(at("open a netlink socket"))?;
    let mtu = outside_mtu();
    // SAFETY: this thread was made for this, runs nothing else, and ends afterwards.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .map_err(at("create a network namespace"))?;
    let file =
        File::open("/proc/thread-self/ns/net").map_err(|_| ("open the network namespace", Errno::NOENT))?;
    let fd = OwnedFd::from(file);
    let mut inside = Netlink::open().map_err(at("open a netlink socket"))?;
    let network = add_pair(&mut outside, &fd, mtu).map_err(at("create a pair of virtual interfaces"))?;
    let name = format!("kiln{network}");
    let base = u32::from(NETWORK) + 4 * network;
    let (gateway, own) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
    let number = netlink::index(&outside, &name).map_err(at("find the outer interface"))?;
    outside
        .add_address(number, gateway)
        .map_err(at("give the outer interface an address"))?;
    outside.up(&name).map_err(at("bring the outer interface up"))?;
    inside.up("lo").map_err(at("bring the loopback interface up"))?;
    let number = netlink::index(&inside, "eth0").map_err(at("find the inner interface"))?;
    inside
        .add_address(number, own)
        .map_err(at("give the inner interface an address"))?;
    inside.up("eth0").map_err(at("bring the inner interface up"))?;
    inside.add_default_route(gateway).map_err(at("add a route"))?;
    Ok((fd, gateway))
}

/// The kernel refuses a name that is taken, so that several engines share the networks without knowing each other.
fn add_pair(outside: &mut Netlink, namespace: &OwnedFd, mtu: u32) -> Result<u32, Errno> {
    let first = std::process::id().wrapping_mul(64);
    for offset in 0..NETWORKS {
        let network = first.wrapping_add(offset) % NETWORKS;
        let name = format!("kiln{network}");
        match outside.add_pair(&Pair {
            name: &name,
            peer: "eth0",
            peer_namespace: namespace,
            mtu,
        }) {
            Err(Errno::EXIST) => {}
            outcome => return outcome.map(|()| network),
        }
    }
    Err(Errno::ADDRNOTAVAIL)
}

/// The packet size of the interface that leads outside: larger packets would be lost where fragments are.
fn outside_mtu() -> u32 {
    static MTU: OnceLock<u32> = OnceLock::new();
    *MTU.get_or_init(|| {
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let default = routes.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace();
            let (interface, destination) = (fields.next()?, fields.next()?);
            (destination == "00000000").then(|| interface.to_owned())
        });
        let mtu = default.and_then(|name| fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok());
        mtu.and_then(|text| text.trim().parse().ok()).unwrap_or(1500)
    })
}
