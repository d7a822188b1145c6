//! The few messages of rtnetlink that make and configure interfaces.

use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::RecvFlags;
use rustix::net::SendFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

const REQUEST: u16 = 0x1 | 0x4; // NLM_F_REQUEST | NLM_F_ACK
const CREATE: u16 = 0x400 | 0x200; // NLM_F_CREATE | NLM_F_EXCL
const NESTED: u16 = 0x8000;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const HEADER: usize = 16;

/// A socket to the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A message or an attribute under construction.
struct Message(Vec<u8>);

impl Message {
    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let value = [value.as_bytes(), &[0]].concat();
        self.attribute(kind, &value)
    }

    fn nested(&mut self, kind: u16, inner: &Self) -> &mut Self {
        self.attribute(kind | NESTED, &inner.0)
    }
}

/// A pair of interfaces that is to be made.
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) peer: &'a str,
    pub(super) peer_namespace: &'a OwnedFd,
    pub(super) mtu: u32,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, Errno> {
        let family = AddressFamily::NETLINK;
        let socket = rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a pair of virtual interfaces, one end in another namespace.
    pub(super) fn add_pair(&mut self, pair: &Pair<'_>) -> Result<(), Errno> {
        let mut peer = Message(link_header(0, 0));
        peer.text(libc::IFLA_IFNAME, pair.peer);
        peer.attribute(libc::IFLA_MTU, &pair.mtu.to_ne_bytes());
        peer.attribute(
            libc::IFLA_NET_NS_FD,
            &pair.peer_namespace.as_raw_fd().to_ne_bytes(),
        );
        let mut data = Message(Vec::new());
        data.nested(VETH_INFO_PEER, &peer);
        let mut info = Message(Vec::new());
        info.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, &data);
        let mut link = Message(link_header(0, 0));
        link.text(libc::IFLA_IFNAME, pair.name)
            .attribute(libc::IFLA_MTU, &pair.mtu.to_ne_bytes());
        link.nested(libc::IFLA_LINKINFO, &info);
        self.send(libc::RTM_NEWLINK, CREATE, &link)
    }

    /// Brings an interface up.
    pub(super) fn up(&mut self, name: &str) -> Result<(), Errno> {
        let up = libc::IFF_UP.unsigned_abs();
        let mut link = Message(link_header(up, up));
        link.text(libc::IFLA_IFNAME, name);
        self.send(libc::RTM_NEWLINK, 0, &link)
    }

    /// Gives an interface an address in a network of four.
    pub(super) fn add_address(&mut self, index: u32, address: Ipv4Addr) -> Result<(), Errno> {
        let family = u8::try_from(libc::AF_INET).unwrap_or_default();
        let mut message = Message(vec![family, 30, 0, 0]);
        message.0.extend_from_slice(&index.to_ne_bytes());
        message
            .attribute(libc::IFA_LOCAL, &address.octets())
            .attribute(libc::IFA_ADDRESS, &address.octets());
        self.send(libc::RTM_NEWADDR, CREATE, &message)
    }

    /// Sends everything through a gateway.
    pub(super) fn add_default_route(&mut self, gateway: Ipv4Addr) -> Result<(), Errno> {
        let family = u8::try_from(libc::AF_INET).unwrap_or_default();
        // Destination and source length, tos, table main, protocol boot, scope universe, type unicast, flags.
        let mut message = Message(vec![family, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
        message.attribute(libc::RTA_GATEWAY, &gateway.octets());
        self.send(libc::RTM_NEWROUTE, CREATE, &message)
    }

    fn send(&mut self, kind: u16, flags: u16, body: &Message) -> Result<(), Errno> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + body.0.len());
        let len = u32::try_from(HEADER + body.0.len()).map_err(|_| Errno::MSGSIZE)?;
        message.extend_from_slice(&len.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(&body.0);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        self.acknowledged()
    }

    fn acknowledged(&self) -> Result<(), Errno> {
        let mut buffer = [0_u8; 8192];
        loop {
            let (len, _) = rustix::net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            let answer = buffer.get(..len).unwrap_or_default();
            let word = |at: usize| answer.get(at..at + 4).and_then(|b| b.try_into().ok());
            let sequence = word(8).map(u32::from_ne_bytes);
            if sequence != Some(self.sequence) {
                continue;
            }
            let code = word(HEADER).map_or(0, i32::from_ne_bytes);
            return if code == 0 {
                Ok(())
            } else {
                Err(Errno::from_raw_os_error(-code))
            };
        }
    }
}

fn link_header(flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 8];
    header.extend_from_slice(&flags.to_ne_bytes());
    header.extend_from_slice(&change.to_ne_bytes());
    header
}

/// The number of an interface in the current namespace.
pub(super) fn index(socket: &Netlink, name: &str) -> Result<u32, Errno> {
    rustix::net::netdevice::name_to_index(&socket.socket, name)
}
