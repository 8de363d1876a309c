//! The kernel's decision where a packet goes (`RTM_GETROUTE`), and notice of changes that may alter it.
//!
//! The monitor asks the kernel instead of reading its tables: the kernel knows rules, metrics and tables, and an answer
//! costs the same in a host with a million routes.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, Socket, SocketAddr, TokioSocket};
use rtnetlink::{MulticastGroup, RouteMessageBuilder};
use rustix::io::Errno;

/// The most messages taken from the notices at once. Their buffer holds far fewer.
const MAX_NOTICES: usize = 1024;

/// No answer about one route, and no notice of one, is longer.
const LONGEST_MESSAGE: usize = 8192;

/// A buffer for two or three notices, the least that the kernel permits.
pub(crate) const NOTICE_BUFFER: u32 = 1;

/// The changes that may alter a route.
const ROUTING: [MulticastGroup; 4] = [
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];

/// The answer of the kernel: where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    /// The length of the destination of the route that was found.
    pub(super) prefix_len: u8,
    pub(super) table: u32,
    /// The interface that the packet leaves by.
    pub(super) link: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: u32,
}

/// Asks the kernel for routes. It answers while it is asked, so nothing waits.
pub(crate) struct RouteLookup(Socket);

impl fmt::Debug for RouteLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteLookup")
    }
}

impl RouteLookup {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// The route to `destination` and the source address that goes with it; none if there is no route.
    pub(super) fn ipv4(
        &self,
        destination: Ipv4Addr,
    ) -> io::Result<Option<(Route, Option<Ipv4Addr>)>> {
        let question = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, 32);
        let Some(message) = self.ask(question.build())? else {
            return Ok(None);
        };
        let source = message.attributes.iter().find_map(|attribute| {
            if let RouteAttribute::PrefSource(RouteAddress::Inet(source)) = attribute {
                Some(*source)
            } else {
                None
            }
        });
        Ok(parse(&message).map(|route| (route, source)))
    }

    /// The route of packets to `destination` that come from `source`; none if there is no route.
    pub(super) fn ipv4_from(
        &self,
        destination: Ipv4Addr,
        source: Ipv4Addr,
    ) -> io::Result<Option<Route>> {
        let question = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(destination, 32)
            .source_prefix(source, 32);
        Ok(self.ask(question.build())?.as_ref().and_then(parse))
    }

    /// How a datagram to `destination`, from `source` if that is given, leaves; none if there is no route to another host.
    pub(crate) fn outgoing(
        &self,
        destination: Ipv4Addr,
        source: Option<Ipv4Addr>,
    ) -> io::Result<Option<Outgoing>> {
        let mut question =
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, 32);
        if let Some(source) = source {
            question = question.source_prefix(source, 32);
        }
        let Some(message) = self.ask(question.build())? else {
            return Ok(None);
        };
        if message.header.kind != RouteType::Unicast {
            return Ok(None);
        }
        let mut way = Outgoing {
            source,
            ..Outgoing::default()
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(link) => way.link = *link,
                RouteAttribute::PrefSource(RouteAddress::Inet(address)) => {
                    way.source = way.source.or(Some(*address));
                }
                RouteAttribute::Metrics(metrics) => {
                    let mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) if *mtu > 0 => u16::try_from(*mtu).ok(),
                        _ => None,
                    });
                    way.mtu = way.mtu.or(mtu);
                }
                _ => {}
            }
        }
        Ok((way.link != 0).then_some(way))
    }

    /// The route to `destination`, of packets that come from `source` and leave by `link`, if these are given.
    pub(super) fn ipv6(
        &self,
        destination: Ipv6Addr,
        source: Option<Ipv6Addr>,
        link: Option<u32>,
    ) -> io::Result<Option<Route>> {
        let mut question =
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(destination, 128);
        if let Some(source) = source {
            question = question.source_prefix(source, 128);
        }
        if let Some(link) = link {
            question = question.output_interface(link);
        }
        let mut question = question.build();
        // The route in the table, not the kernel's copy for this destination.
        question.header.flags = RouteFlags::FibMatch;
        Ok(self.ask(question)?.as_ref().and_then(parse))
    }

    /// The kernel's answer; none if there is no route.
    pub(super) fn ask(&self, question: RouteMessage) -> io::Result<Option<RouteMessage>> {
        match self.exchange(RouteNetlinkMessage::GetRoute(question))? {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => Ok(Some(route)),
            NetlinkPayload::Error(error) => match Errno::from_io_error(&error.to_io()) {
                Some(
                    Errno::NETUNREACH
                    | Errno::HOSTUNREACH
                    | Errno::ACCESS
                    | Errno::INVAL
                    | Errno::AFNOSUPPORT
                    | Errno::OPNOTSUPP
                    | Errno::NODEV
                    | Errno::NETDOWN,
                ) => Ok(None),
                _ => Err(error.to_io()),
            },
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// The kernel answers at once.
    fn exchange(
        &self,
        question: RouteNetlinkMessage,
    ) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let mut answer = Vec::with_capacity(LONGEST_MESSAGE);
        self.0.recv(&mut answer, libc::MSG_DONTWAIT)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        Ok(answer.payload)
    }
}

/// How a datagram leaves this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The interface.
    pub(crate) link: u32,
    /// The address that it leaves from.
    pub(crate) source: Option<Ipv4Addr>,
    /// The MTU of the way, if it is known beside that of the interface.
    pub(crate) mtu: Option<u16>,
}

/// None if the route leads nowhere.
fn parse(message: &RouteMessage) -> Option<Route> {
    if message.header.kind != RouteType::Unicast && message.header.kind != RouteType::Local {
        return None;
    }
    let mut route = Route {
        prefix_len: message.header.destination_prefix_length,
        table: message.header.table.into(),
        link: 0,
        gateway: None,
        metric: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(link) => route.link = *link,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                route.gateway = Some((*address).into());
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => {
                route.gateway = Some((*address).into());
            }
            RouteAttribute::MultiPath(hops) if route.link == 0 => {
                route.link = hops.first().map_or(0, |hop| hop.interface_index);
            }
            _ => {}
        }
    }
    Some(route)
}

/// Notice that routes or rules have changed, without saying which.
///
/// The socket's buffer is tiny on purpose: of a burst of changes the kernel drops all but the first, and the owner looks
/// once instead of reading them all.
pub(super) struct RouteNotices(TokioSocket);

impl fmt::Debug for RouteNotices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteNotices")
    }
}

impl RouteNotices {
    /// Must be called within a tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        let mut notices = TokioSocket::new(NETLINK_ROUTE)?;
        let socket = notices.socket_mut();
        socket.set_rx_buf_sz(NOTICE_BUFFER)?;
        socket.bind_auto()?;
        for group in ROUTING {
            match socket.add_membership(group as u32) {
                // A kernel without IPv6, or without rules, lacks groups.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                joined => joined?,
            }
        }
        Ok(Self(notices))
    }

    /// Waits for a notice. Cancel safe.
    pub(super) async fn arrived(&self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(LONGEST_MESSAGE);
        poll_fn(|cx| self.0.poll_recv(cx, &mut buffer))
            .await
            .or_else(ignore_lost)
    }

    /// Takes the notices that are there.
    pub(super) fn take(&self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(LONGEST_MESSAGE);
        for _ in 0..MAX_NOTICES {
            buffer.clear();
            let received = self.0.socket_ref().recv(&mut buffer, libc::MSG_DONTWAIT);
            match received.map(drop).or_else(ignore_lost) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                taken => taken?,
            }
        }
        Ok(())
    }
}

/// Notices that the kernel dropped say no less than those that it kept.
fn ignore_lost(error: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&error) {
        Some(Errno::NOBUFS) => Ok(()),
        _ => Err(error),
    }
}
