//! Links, addresses and routes: the rtnetlink requests that the lab needs.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::namespace::Namespace;
use crate::netlink::{Interface, NetlinkSocket};
use crate::wait::until;

/// It takes about a millisecond on an idle machine.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

/// The next hop of a route.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NextHop {
    /// The destination is a neighbour on this interface.
    Link(u32),
    /// A gateway that is a neighbour on this interface, even if no prefix covers it.
    Gateway(u32, IpAddr),
    /// Packets are dropped silently.
    Blackhole,
}

impl NetlinkSocket {
    /// Makes a pair of connected Ethernet interfaces, `near` here and up, `far` in another namespace
    /// and down.
    pub(crate) fn add_veth(
        &mut self,
        near: Interface<'_>,
        far: Interface<'_>,
        far_namespace: &Namespace,
    ) -> io::Result<()> {
        // A veth can only be brought up once it has its peer, so the far end has to wait.
        let mut peer = link(far.index);
        peer.attributes.push(LinkAttribute::IfName(far.name.into()));
        peer.attributes
            .push(LinkAttribute::NetNsFd(far_namespace.file().as_raw_fd()));
        let mut message = up(link(near.index));
        message
            .attributes
            .push(LinkAttribute::IfName(near.name.into()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Makes a bridge, up.
    pub(crate) fn add_bridge(&mut self, bridge: Interface<'_>) -> io::Result<()> {
        let mut message = up(link(bridge.index));
        message
            .attributes
            .push(LinkAttribute::IfName(bridge.name.into()));
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
                InfoKind::Bridge,
            )]));
        self.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Plugs an interface into a bridge.
    pub(crate) fn set_bridge(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        let mut message = link(index);
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Brings an interface up.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.request(RouteNetlinkMessage::SetLink(up(link(index))), 0)
    }

    /// Takes an interface down, and with it the routes that lead through it.
    pub(crate) fn set_down(&mut self, index: u32) -> io::Result<()> {
        let mut message = link(index);
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Whether an interface carries traffic. For a moment after it has come up it does not: the kernel
    /// activates its queue in the background, and drops packets until then.
    fn carries(&mut self, index: u32) -> io::Result<bool> {
        match self.query(RouteNetlinkMessage::GetLink(link(index)))? {
            RouteNetlinkMessage::NewLink(link) => Ok(link
                .attributes
                .contains(&LinkAttribute::OperState(State::Up))),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Adds an address; `prefix` is the length of the network that is on the link.
    pub(crate) fn add_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewAddress(address(index, ip, prefix));
        self.request(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Removes an address.
    pub(crate) fn delete_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> io::Result<()> {
        self.request(
            RouteNetlinkMessage::DelAddress(address(index, ip, prefix)),
            0,
        )
    }

    /// Adds a route, or replaces the one to the same destination.
    pub(crate) fn set_route(&mut self, to: IpAddr, prefix: u8, hop: NextHop) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewRoute(route(to, prefix, Some(hop)));
        self.request(message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Adds a route to a table of its own, or replaces the one to the same destination.
    pub(crate) fn set_route_in(
        &mut self,
        table: u8,
        to: IpAddr,
        prefix: u8,
        hop: NextHop,
    ) -> io::Result<()> {
        let mut message = route(to, prefix, Some(hop));
        message.header.table = table;
        self.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Looks into that table for IPv4 packets that come in by an interface, unless they are for this host.
    pub(crate) fn add_rule(&mut self, interface: &str, table: u8) -> io::Result<()> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.table = table;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Iifname(interface.to_owned()),
            RuleAttribute::Priority(table.into()),
        ];
        self.request(
            RouteNetlinkMessage::NewRule(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Removes a route.
    pub(crate) fn delete_route(&mut self, to: IpAddr, prefix: u8) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelRoute(route(to, prefix, None)), 0)
    }
}

/// Waits until these interfaces carry traffic.
pub(crate) fn wait_until_carrying<const N: usize>(
    interfaces: [(&Namespace, u32); N],
) -> io::Result<()> {
    for (namespace, index) in interfaces {
        until(LINK_TIMEOUT, "a link to come up", || {
            namespace
                .route(|route| route.carries(index))
                .map(|up| up.then_some(()))
                .transpose()
        })
        .map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))??;
    }
    Ok(())
}

/// Waits until an IPv6 address of an interface can be resolved: the kernel joins its solicited-node
/// group (RFC 4291 §2.7.1) in the background, and a solicitation that comes before is only repeated
/// after a second.
pub(crate) fn wait_until_resolvable(
    namespace: &Namespace,
    index: u32,
    ip: Ipv6Addr,
) -> io::Result<()> {
    let [.., a, b, c] = ip.octets();
    let group = format!("ff0200000000000000000001ff{a:02x}{b:02x}{c:02x}");
    let index = index.to_string();
    let joined = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some(&*index) && words.nth(1) == Some(&*group)
    };
    namespace.run(|| {
        until(LINK_TIMEOUT, format_args!("{ip} to be resolvable"), || {
            let table = fs::read_to_string("/proc/thread-self/net/igmp6");
            table
                .map(|table| table.lines().any(joined).then_some(()))
                .transpose()
        })
        .map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))?
    })?
}

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
    message
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn address(index: u32, ip: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(ip);
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(ip));
    message.attributes.push(AddressAttribute::Address(ip));
    match ip {
        IpAddr::V4(ip) if prefix < 31 => {
            let broadcast = Ipv4Addr::from_bits(ip.to_bits() | (u32::MAX >> prefix));
            message
                .attributes
                .push(AddressAttribute::Broadcast(broadcast));
        }
        IpAddr::V4(_) => {}
        // Usable at once, without duplicate address detection (RFC 4862 §5.4).
        IpAddr::V6(_) => message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    message
}

fn route(to: IpAddr, prefix: u8, hop: Option<NextHop>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(to),
        destination_prefix_length: prefix,
        table: RouteHeader::RT_TABLE_MAIN,
        // "Any" in a request to delete.
        scope: RouteScope::NoWhere,
        ..RouteHeader::default()
    };
    if prefix != 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(to.into()));
    }
    if let Some(hop) = hop {
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.scope = RouteScope::Universe;
        match hop {
            NextHop::Link(index) => {
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(index));
            }
            NextHop::Gateway(index, gateway) => {
                message.header.flags = RouteFlags::Onlink;
                message
                    .attributes
                    .push(RouteAttribute::Gateway(gateway.into()));
                message.attributes.push(RouteAttribute::Oif(index));
            }
            NextHop::Blackhole => message.header.kind = RouteType::BlackHole,
        }
    }
    message
}
