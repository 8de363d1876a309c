//! The rule and the route that decide the path of this host's packets, to find the wrong one.
//!
//! The kernel names the route of a packet ([`RouteLookup`], `RTM_F_FIB_MATCH`), and neither the rule that led there nor,
//! if there is no way, the route that is to blame. So this module reads the rules, and the tables only if there is no way:
//! a router may have a million routes.

use std::cell::OnceCell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::RouteMessageBuilder;
use rustix::io::Errno;

use super::route::RouteLookup;

/// The table of the host's usual routes.
const MAIN: u32 = 254;
/// The kernel's own table, of the addresses of this host.
const LOCAL: u32 = 255;
/// No table (RT_TABLE_UNSPEC).
const NONE: u32 = 0;
/// The number of UDP among the protocols of IP.
const UDP: u8 = 17;
/// No answer of a dump is longer.
const LONGEST_ANSWER: usize = 1 << 16;
/// More routes than a host needs for its own packets; a full table of the Internet is not read to its end.
const MOST: usize = 200_000;

/// A route that takes packets, and the rule that leads to its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The interface; none: they go nowhere.
    pub link: Option<u32>,
    /// The router, if the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// The priority of the rule, if it could be found.
    pub rule: Option<u32>,
    /// The rest of the rule in the words of `ip rule`, such as `not fwmark 0xca6c table 51820`. Several rules may have one
    /// priority.
    pub selector: String,
    /// Its table; 0 if the rule leads to none.
    pub table: u32,
    /// The destination of the route, with its length; none: no route was found.
    pub destination: Option<(IpAddr, u8)>,
    /// Its metric.
    pub metric: u32,
    /// Its kind, as `ip route` names it: `unicast`, `unreachable`, `blackhole`, `prohibit`.
    pub kind: &'static str,
    /// Whether a router has announced it (RFC 4861), and will again.
    pub announced: bool,
}

impl Decision {
    /// Whether the table is the one of the host's usual routes.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        self.table == MAIN
    }

    /// Whether a rule itself refuses the packets, such as one of `prohibit`, so that no table is looked up.
    #[must_use]
    pub const fn is_refused_by_rule(&self) -> bool {
        self.rule.is_some() && self.table == NONE
    }

    /// Whether a rule leads to a table besides the kernel's own and that of the usual routes.
    #[must_use]
    pub const fn is_detour(&self) -> bool {
        self.rule.is_some() && !matches!(self.table, NONE | LOCAL | MAIN)
    }
}

/// The sender of a packet, and its UDP port of destination, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    uid: Option<u32>,
    udp: Option<u16>,
}

impl Sent {
    /// Adds them to a question.
    fn describe(self, question: &mut RouteMessage) {
        question
            .attributes
            .extend(self.uid.map(RouteAttribute::Uid));
        if let Some(port) = self.udp {
            question.attributes.push(RouteAttribute::IpProto(UDP));
            question.attributes.push(RouteAttribute::Dport(port));
        }
    }
}

/// Whether the kernel takes packets from `source` to its own address `destination` that come by `link`. It does not if the
/// answers would leave by another interface and `rp_filter` is 1 (RFC 3704), or if the source cannot be one.
///
/// # Errors
/// If the kernel does not answer.
pub fn passes_reverse_path(link: u32, source: Ipv4Addr, destination: Ipv4Addr) -> io::Result<bool> {
    let question = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(destination, 32)
        .source_prefix(source, 32)
        .input_interface(link);
    match RouteLookup::open()?.ask(question.build()) {
        // Since Linux 6.13, all reasons are EINVAL.
        Ok(route) => Ok(route.is_some()),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Several decisions of one moment: each table of the kernel is read once at most.
#[derive(Debug)]
pub struct Decisions {
    lookup: RouteLookup,
    /// Of IPv4, and of IPv6.
    rules: [OnceCell<Vec<RuleMessage>>; 2],
    routes: [OnceCell<Vec<RouteMessage>>; 2],
}

impl Decisions {
    /// # Errors
    /// If the system has no socket left.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            lookup: RouteLookup::open()?,
            rules: Default::default(),
            routes: Default::default(),
        })
    }

    /// The way of packets to `destination` that this host sends from `source`, or from none yet.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn decide(&self, destination: IpAddr, source: Option<IpAddr>) -> io::Result<Decision> {
        self.decide_sent(destination, source, Sent::default())
    }

    /// The way of UDP datagrams to this address and port that a process of the user `uid` sends, before a source is chosen.
    /// Rules may be about users, protocols and ports.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn decide_datagram(&self, destination: SocketAddrV4, uid: u32) -> io::Result<Decision> {
        let sent = Sent {
            uid: Some(uid),
            udp: Some(destination.port()),
        };
        self.decide_sent((*destination.ip()).into(), None, sent)
    }

    fn decide_sent(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        sent: Sent,
    ) -> io::Result<Decision> {
        let family = usize::from(destination.is_ipv6());
        let rules = once(&self.rules[family], || rules(destination))?;
        if let Some(found) = self.found(destination, source, sent)? {
            return Ok(with_rule(found, rules, destination, source, sent));
        }
        let routes = once(&self.routes[family], || routes(destination))?;
        // The kernel is right if both differ.
        let told = follow(rules, routes, destination, source, sent);
        let told = told.filter(|told| told.link.is_none());
        Ok(told.unwrap_or_else(|| Decision {
            table: MAIN,
            kind: "unreachable",
            ..Decision::default()
        }))
    }

    /// The route that the kernel takes, and its table; none if it takes none.
    fn found(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        sent: Sent,
    ) -> io::Result<Option<Decision>> {
        let (taken, question) = match (destination, source) {
            (IpAddr::V4(destination), None | Some(IpAddr::V4(_))) => {
                let mut question =
                    RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, 32);
                if let Some(IpAddr::V4(source)) = source {
                    question = question.source_prefix(source, 32);
                }
                let mut question = question.build();
                sent.describe(&mut question);
                // Of several paths, this answer has the one that is taken, and that about the table has all.
                let taken = self.lookup.ask(question.clone())?;
                (taken, question)
            }
            (IpAddr::V6(destination), None | Some(IpAddr::V6(_))) => {
                let mut question =
                    RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(destination, 128);
                if let Some(IpAddr::V6(source)) = source {
                    question = question.source_prefix(source, 128);
                }
                (None, question.build())
            }
            _ => return Err(ErrorKind::InvalidInput.into()),
        };
        let mut question = question;
        question.header.flags = RouteFlags::FibMatch | RouteFlags::LookupTable;
        let Some(matched) = self.lookup.ask(question)? else {
            return Ok(None);
        };
        let Some(link) = taken.as_ref().and_then(link).or_else(|| link(&matched)) else {
            return Ok(None);
        };
        let network = address(&matched, destination);
        Ok(Some(Decision {
            link: Some(link),
            gateway: taken.as_ref().map_or_else(|| gateway(&matched), gateway),
            // Without rules of the administrator, the kernel keeps both tables of IPv4 in one.
            table: match (table_of(&matched), &matched.header.kind) {
                (MAIN, RouteType::Local) => LOCAL,
                (table, _) => table,
            },
            destination: Some((network, matched.header.destination_prefix_length)),
            metric: metric(&matched),
            kind: kind(&matched),
            announced: matched.header.protocol == RouteProtocol::Ra,
            ..Decision::default()
        }))
    }
}

fn once<T>(cell: &OnceCell<T>, read: impl FnOnce() -> io::Result<T>) -> io::Result<&T> {
    if let Some(known) = cell.get() {
        return Ok(known);
    }
    let found = read()?;
    Ok(cell.get_or_init(|| found))
}

/// Adds the first rule that leads to the table of the route.
fn with_rule(
    found: Decision,
    rules: &[RuleMessage],
    destination: IpAddr,
    source: Option<IpAddr>,
    sent: Sent,
) -> Decision {
    let length = found.destination.map_or(0, |(_, length)| length);
    let mut leading = rules.iter().filter(|rule| {
        rule.header.action == RuleAction::ToTable
            && table_of_rule(rule) == found.table
            && applies(rule, destination, source, sent)
            && !suppresses(rule, length)
    });
    match leading.next() {
        Some(rule) => Decision {
            rule: Some(priority(rule)),
            selector: selector(rule),
            ..found
        },
        None => found,
    }
}

/// Whether the rule ignores routes to networks as large as this.
fn suppresses(rule: &RuleMessage, length: u8) -> bool {
    rule.attributes.iter().any(|attribute| {
        matches!(attribute, RuleAttribute::SuppressPrefixLen(least) if u32::from(length) <= *least && *least <= 128)
    })
}

/// The words of `ip rule`, besides the priority, that name this rule and no other.
fn selector(rule: &RuleMessage) -> String {
    let header = &rule.header;
    let mask = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::FwMask(mask) if *mask != u32::MAX => Some(format!("/{mask:#x}")),
            _ => None,
        });
    let mut words: Vec<String> = Vec::new();
    if header.flags.contains(RuleFlags::Invert) {
        words.push("not".to_owned());
    }
    let selecting = rule.attributes.iter().filter_map(|attribute| {
        Some(match attribute {
            RuleAttribute::Source(prefix) => format!("from {prefix}/{}", header.src_len),
            RuleAttribute::Destination(prefix) => format!("to {prefix}/{}", header.dst_len),
            RuleAttribute::FwMark(mark) => {
                format!("fwmark {mark:#x}{}", mask.as_deref().unwrap_or_default())
            }
            RuleAttribute::Iifname(name) => format!("iif {name}"),
            RuleAttribute::Oifname(name) => format!("oif {name}"),
            RuleAttribute::UidRange(range) => format!("uidrange {}-{}", range.start, range.end),
            RuleAttribute::IpProtocol(protocol) => format!("ipproto {}", u8::from(*protocol)),
            RuleAttribute::SourcePortRange(range) => format!("sport {}-{}", range.start, range.end),
            RuleAttribute::DestinationPortRange(range) => {
                format!("dport {}-{}", range.start, range.end)
            }
            _ => return None,
        })
    });
    words.extend(selecting);
    words.push(match header.action {
        RuleAction::Blackhole => "blackhole".to_owned(),
        RuleAction::Unreachable => "unreachable".to_owned(),
        RuleAction::Prohibit => "prohibit".to_owned(),
        _ => format!("table {}", table_of_rule(rule)),
    });
    words.join(" ")
}

fn gateway(route: &RouteMessage) -> Option<IpAddr> {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(gateway) => ip(gateway),
            _ => None,
        })
}

fn follow(
    rules: &[RuleMessage],
    routes: &[RouteMessage],
    destination: IpAddr,
    source: Option<IpAddr>,
    sent: Sent,
) -> Option<Decision> {
    for rule in rules {
        if !applies(rule, destination, source, sent) {
            continue;
        }
        let priority = priority(rule);
        let refused = |kind| {
            Some(Decision {
                rule: Some(priority),
                selector: selector(rule),
                kind,
                ..Decision::default()
            })
        };
        match rule.header.action {
            RuleAction::ToTable => {}
            RuleAction::Blackhole => return refused("blackhole"),
            RuleAction::Unreachable => return refused("unreachable"),
            RuleAction::Prohibit => return refused("prohibit"),
            // The others are for packets that no host sends of its own.
            _ => continue,
        }
        let table = table_of_rule(rule);
        let fits = routes
            .iter()
            .filter(|route| table_of(route) == table && fits(route, destination, source));
        let best = fits.max_by_key(|route| {
            let length = route.header.destination_prefix_length;
            (
                length,
                route.header.source_prefix_length,
                std::cmp::Reverse(metric(route)),
            )
        });
        let Some(best) = best else { continue };
        let length = best.header.destination_prefix_length;
        if suppresses(rule, length) || best.header.kind == RouteType::Throw {
            continue;
        }
        return Some(Decision {
            link: link(best),
            gateway: None,
            rule: Some(priority),
            selector: selector(rule),
            table,
            destination: Some((address(best, destination), length)),
            metric: metric(best),
            kind: kind(best),
            announced: best.header.protocol == RouteProtocol::Ra,
        });
    }
    None
}

fn priority(rule: &RuleMessage) -> u32 {
    let found = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
    found.unwrap_or(0)
}

fn table_of_rule(rule: &RuleMessage) -> u32 {
    let found = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
    found.unwrap_or_else(|| rule.header.table.into())
}

/// Whether a rule is about packets without a mark that this host sends.
fn applies(rule: &RuleMessage, destination: IpAddr, source: Option<IpAddr>, sent: Sent) -> bool {
    let mut holds = rule.header.src_len == 0 && rule.header.dst_len == 0
        || rule.attributes.iter().any(|attribute| {
            matches!(
                attribute,
                RuleAttribute::Source(_) | RuleAttribute::Destination(_)
            )
        });
    for attribute in &rule.attributes {
        holds &= match attribute {
            RuleAttribute::Source(prefix) => {
                source.is_some_and(|source| is_in(source, *prefix, rule.header.src_len))
            }
            RuleAttribute::Destination(prefix) => is_in(destination, *prefix, rule.header.dst_len),
            RuleAttribute::Iifname(name) => name == "lo",
            RuleAttribute::Oifname(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::TunId(_) => false,
            RuleAttribute::IpProtocol(protocol) => sent.udp.is_some() && u8::from(*protocol) == UDP,
            RuleAttribute::DestinationPortRange(range) => sent
                .udp
                .is_some_and(|port| (range.start..=range.end).contains(&port)),
            RuleAttribute::FwMark(mark) => *mark == 0,
            RuleAttribute::UidRange(range) => {
                (range.start..=range.end).contains(&sent.uid.unwrap_or(0))
            }
            _ => true,
        };
    }
    holds != rule.header.flags.contains(RuleFlags::Invert)
}

fn fits(route: &RouteMessage, destination: IpAddr, source: Option<IpAddr>) -> bool {
    let from = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Source(prefix) => ip(prefix),
            _ => None,
        });
    let of_source = match (route.header.source_prefix_length, from, source) {
        (0, ..) => true,
        (length, Some(from), Some(source)) => is_in(source, from, length),
        _ => false,
    };
    let to = address(route, destination);
    of_source && is_in(destination, to, route.header.destination_prefix_length)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// The destination of a route. A default route has none.
fn address(route: &RouteMessage, like: IpAddr) -> IpAddr {
    let found = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip(address),
            _ => None,
        });
    found.unwrap_or_else(|| match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    })
}

fn is_in(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((address, width), (network, other)) = (bits(address), bits(network));
    let shift = 128 - u32::from(length).min(width);
    width == other && (address ^ network).checked_shr(shift).unwrap_or(0) == 0
}

fn table_of(route: &RouteMessage) -> u32 {
    let found = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    found.unwrap_or_else(|| route.header.table.into())
}

fn metric(route: &RouteMessage) -> u32 {
    let found = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        });
    found.unwrap_or(0)
}

fn kind(route: &RouteMessage) -> &'static str {
    match route.header.kind {
        RouteType::Unicast => "unicast",
        RouteType::Local => "local",
        RouteType::BlackHole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        _ => "other",
    }
}

fn link(route: &RouteMessage) -> Option<u32> {
    if !matches!(route.header.kind, RouteType::Unicast | RouteType::Local) {
        return None;
    }
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(link) => Some(*link),
            RouteAttribute::MultiPath(hops) => Some(hops.first()?.interface_index),
            _ => None,
        })
}

fn family(of: IpAddr) -> AddressFamily {
    if of.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}

/// All rules, in the order of their priorities.
fn rules(of: IpAddr) -> io::Result<Vec<RuleMessage>> {
    let mut question = RuleMessage::default();
    question.header.family = family(of);
    let mut rules = Vec::new();
    dump(RouteNetlinkMessage::GetRule(question), |message| {
        if let RouteNetlinkMessage::NewRule(rule) = message {
            rules.push(rule);
        }
        rules.len() < MOST
    })?;
    rules.sort_by_key(priority);
    Ok(rules)
}

fn routes(of: IpAddr) -> io::Result<Vec<RouteMessage>> {
    let mut question = RouteMessage::default();
    question.header.address_family = family(of);
    let mut routes = Vec::new();
    dump(RouteNetlinkMessage::GetRoute(question), |message| {
        if let RouteNetlinkMessage::NewRoute(route) = message
            && !route.header.flags.contains(RouteFlags::Cloned)
        {
            routes.push(route);
        }
        routes.len() < MOST
    })?;
    Ok(routes)
}

/// Hands each part of the answer to `take`, while that wants more.
fn dump(
    question: RouteNetlinkMessage,
    mut take: impl FnMut(RouteNetlinkMessage) -> bool,
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(question);
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = Vec::with_capacity(LONGEST_ANSWER);
    loop {
        answer.clear();
        // The kernel answers while it is asked.
        socket.recv(&mut answer, libc::MSG_DONTWAIT)?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            let more = match message.payload {
                NetlinkPayload::InnerMessage(message) => take(message),
                NetlinkPayload::Done(_) => false,
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => true,
            };
            if !more {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
