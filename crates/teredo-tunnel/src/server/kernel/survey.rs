//! The host's addresses, interfaces and routes, as far as an answer in the kernel depends on them.
//!
//! A frame is answered by the interface that it came in by, to the neighbour that sent it. That is right if the host's route to
//! the source leaves by this interface, so the routes are written into the kernel's map of sources. It is also all that a
//! reverse path filter asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use teredo_bpf::{MOST_SOURCES, Source};

use crate::net::into_io;

/// An address block: network and length in bits.
pub(super) type Block = (Ipv4Addr, u8);

// linux/rtnetlink.h
const TABLE_DEFAULT: u32 = 253;
const TABLE_MAIN: u32 = 254;
const TABLE_LOCAL: u32 = 255;

/// The most routes of all tables that are read. A router has a million, which would be read again after each change.
const MOST_ROUTES: usize = 2 * MOST_SOURCES;

/// The network of the host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Where each of the server's addresses is answered.
    pub(super) places: BTreeMap<Ipv4Addr, Place>,
    pub(super) sources: Vec<Source>,
}

/// An Ethernet interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) group: u32,
    pub(super) hardware: [u8; 6],
    /// Whether its driver may send the frames of a program at once.
    pub(super) native: bool,
}

/// The answers of the kernel that a survey is made of.
#[derive(Debug, Default)]
pub(super) struct Tables {
    links: Vec<LinkMessage>,
    addresses: Vec<AddressMessage>,
    rules: Vec<RuleMessage>,
    routes: Vec<RouteMessage>,
    /// The ends of virtual links (veth) here whose other end has a program.
    polled: BTreeSet<u32>,
}

impl Tables {
    pub(super) async fn read(handle: &Handle) -> io::Result<Self> {
        Ok(Self {
            routes: read_routes().await?,
            ..Self::read_all_but_routes(handle).await.map_err(into_io)?
        })
    }

    async fn read_all_but_routes(handle: &Handle) -> Result<Self, rtnetlink::Error> {
        let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
        let mut polled = BTreeSet::new();
        for link in links.iter().filter(|link| is_veth(link)) {
            if other_end_has_program(handle, link).await {
                polled.insert(link.header.index);
            }
        }
        Ok(Self {
            links,
            polled,
            addresses: handle.address().get().execute().try_collect().await?,
            rules: handle
                .rule()
                .get(IpVersion::V4)
                .execute()
                .try_collect()
                .await?,
            routes: Vec::new(),
        })
    }

    /// The survey for a server with these addresses, that refuses these blocks; or the reason why the kernel cannot answer.
    pub(super) fn survey(
        &self,
        own: impl Iterator<Item = Ipv4Addr>,
        refused: Vec<Block>,
    ) -> Result<Survey, String> {
        if let Some(rule) = self.rules.iter().find(|rule| !is_usual(rule)) {
            let priority = rule_priority(rule);
            return Err(format!(
                "a rule of this host chooses other routes for some packets ('ip rule', priority {priority})"
            ));
        }
        let mut places = BTreeMap::new();
        for address in own {
            if let Some(place) = self.place(address)? {
                places.insert(address, place);
            }
        }
        if places.is_empty() {
            return Err("no address of the server is on an Ethernet interface".to_owned());
        }
        Ok(Survey {
            places,
            sources: self.sources(refused)?,
        })
    }

    /// The interface that has the address; or, for an address of the loopback, the one that most datagrams come in by.
    fn place(&self, own: Ipv4Addr) -> Result<Option<Place>, String> {
        let has = |message: &&AddressMessage| {
            message.attributes.iter().any(|attribute| {
                matches!(attribute, AddressAttribute::Local(IpAddr::V4(address)) if *address == own)
            })
        };
        let Some(address) = self.addresses.iter().find(has) else {
            return Ok(None);
        };
        let index = address.header.index;
        let place = match self.ethernet(index)? {
            Some(place) => Some(place),
            None => match self.way_out() {
                Some(index) => self.ethernet(index)?,
                None => None,
            },
        };
        Ok(place)
    }

    /// The interface of the default route.
    fn way_out(&self) -> Option<u32> {
        let default = |route: &&RouteMessage| {
            route.header.destination_prefix_length == 0
                && table(route) == TABLE_MAIN
                && route.header.kind == RouteType::Unicast
        };
        let routes = self.routes.iter().filter(default);
        let route = routes.min_by_key(|route| metric(route))?;
        interface(route).map(NonZeroU32::get)
    }

    /// The interface, if it is a usual one of Ethernet.
    fn ethernet(&self, index: u32) -> Result<Option<Place>, String> {
        let Some(link) = self.links.iter().find(|link| link.header.index == index) else {
            return Ok(None);
        };
        let (mut name, mut group, mut hardware) = (String::new(), 0, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(value) => name.clone_from(value),
                LinkAttribute::Group(value) => group = *value,
                LinkAttribute::Address(value) => hardware = value.as_slice().try_into().ok(),
                LinkAttribute::Controller(_) => {
                    return Err(format!(
                        "an interface is part of another one: {}",
                        name_of(link)
                    ));
                }
                _ => {}
            }
        }
        let (LinkLayerType::Ether, Some(hardware)) = (link.header.link_layer_type, hardware) else {
            return Ok(None);
        };
        if kind(link) == Some(&InfoKind::Dummy) {
            return Ok(None);
        }
        // Hardware hides the tag from the program, so it would answer without one.
        let has_vlan = |other: &&LinkMessage| {
            kind(other) == Some(&InfoKind::Vlan)
                && other.attributes.contains(&LinkAttribute::Link(index))
        };
        if let Some(vlan) = self.links.iter().find(has_vlan) {
            return Err(format!("`{name}` carries a VLAN (`{}`)", name_of(vlan)));
        }
        Ok(Some(Place {
            index,
            name,
            group,
            hardware,
            native: !is_veth(link) || self.polled.contains(&index),
        }))
    }

    /// The routes and the refused blocks. A more special route within a refused block is refused, too.
    fn sources(&self, mut refused: Vec<Block>) -> Result<Vec<Source>, String> {
        if self.routes.len() > MOST_ROUTES {
            return Err(format!("the host has more than {MOST_ROUTES} routes"));
        }
        let mut routes: BTreeMap<Block, (u32, Option<NonZeroU32>)> = BTreeMap::new();
        for route in &self.routes {
            let len = route.header.destination_prefix_length;
            let block = (destination(route), len);
            match table(route) {
                // Our own addresses and broadcasts. The kernel looks here first, whatever the length.
                TABLE_LOCAL => refused.push(block),
                TABLE_MAIN => {
                    let (metric, interface) = (metric(route), interface(route));
                    let known = routes.entry(block).or_insert((metric, interface));
                    if metric < known.0 {
                        *known = (metric, interface);
                    } else if metric == known.0 && interface != known.1 {
                        known.1 = None;
                    }
                }
                TABLE_DEFAULT => {
                    return Err("the host has routes in the table 'default'".to_owned());
                }
                // No rule leads there.
                _ => {}
            }
        }
        let is_refused = |block: Block| refused.iter().any(|&outer| contains(outer, block));
        let mut sources: BTreeMap<Block, Option<NonZeroU32>> = routes
            .into_iter()
            .map(|(block, (_, interface))| (block, interface.filter(|_| !is_refused(block))))
            .collect();
        sources.extend(refused.iter().map(|&block| (block, None)));
        if sources.len() > MOST_SOURCES {
            return Err(format!(
                "the host has more than {MOST_SOURCES} routes and refused networks"
            ));
        }
        let source = |((network, len), interface)| Source {
            network,
            len,
            interface,
        };
        Ok(sources.into_iter().map(source).collect())
    }
}

/// The routes of all tables; of more than [`MOST_ROUTES`] so many and one.
async fn read_routes() -> io::Result<Vec<RouteMessage>> {
    // A connection of its own: the kernel lists no more once it is closed.
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let listed = handle.route().get(all).execute();
    let routes = listed.take(MOST_ROUTES + 1).try_collect().await;
    connection.abort();
    routes.map_err(into_io)
}

/// Whether a rule is one of the three that every host has.
fn is_usual(rule: &RuleMessage) -> bool {
    let table = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
    let plain = rule.attributes.iter().all(|attribute| {
        matches!(
            attribute,
            RuleAttribute::Table(_)
                | RuleAttribute::Priority(_)
                | RuleAttribute::Protocol(_)
                | RuleAttribute::SuppressPrefixLen(u32::MAX)
        )
    });
    let place = (
        rule_priority(rule),
        table.unwrap_or_else(|| rule.header.table.into()),
    );
    plain
        && rule.header.action == RuleAction::ToTable
        && rule.header.src_len == 0
        && rule.header.dst_len == 0
        && rule.header.tos == 0
        && matches!(
            place,
            (0, TABLE_LOCAL) | (32766, TABLE_MAIN) | (32767, TABLE_DEFAULT)
        )
}

fn rule_priority(rule: &RuleMessage) -> u32 {
    let priority = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
    priority.unwrap_or(0)
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind),
                _ => None,
            }),
            _ => None,
        })
}

fn is_veth(link: &LinkMessage) -> bool {
    kind(link) == Some(&InfoKind::Veth)
}

/// Whether the other end of a virtual link has a program in its driver; false if it is out of sight.
async fn other_end_has_program(handle: &Handle, link: &LinkMessage) -> bool {
    let (mut index, mut namespace) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Link(other) => index = Some(*other),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            _ => {}
        }
    }
    let Some(index) = index else {
        return false;
    };
    let mut request = handle.link().get().match_index(index);
    let attributes = &mut request.message_mut().attributes;
    attributes.extend(namespace.map(LinkAttribute::IfNetnsId));
    let Ok(Some(other)) = request.execute().try_next().await else {
        return false;
    };
    other.attributes.iter().any(|attribute| {
        let LinkAttribute::Xdp(programs) = attribute else {
            return false;
        };
        let native = |program: &LinkXdp| {
            matches!(
                program,
                LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Multiple)
            )
        };
        programs.iter().any(native)
    })
}

fn name_of(link: &LinkMessage) -> &str {
    let name = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        });
    name.unwrap_or_default()
}

fn table(route: &RouteMessage) -> u32 {
    let table = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    table.unwrap_or_else(|| route.header.table.into())
}

fn metric(route: &RouteMessage) -> u32 {
    let metric = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        });
    metric.unwrap_or(0)
}

fn destination(route: &RouteMessage) -> Ipv4Addr {
    let destination = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        });
    destination.unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The one interface that a route leads to, if it is of the simplest kind.
fn interface(route: &RouteMessage) -> Option<NonZeroU32> {
    let header = &route.header;
    let simple = header.kind == RouteType::Unicast
        && header.tos == 0
        && !header
            .flags
            .intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    let mut interface = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = NonZeroU32::new(*index),
            RouteAttribute::Destination(_)
            | RouteAttribute::Gateway(_)
            | RouteAttribute::PrefSource(_)
            | RouteAttribute::Priority(_)
            | RouteAttribute::Table(_)
            | RouteAttribute::Metrics(_)
            | RouteAttribute::CacheInfo(_) => {}
            // Several ways, a tunnel, or something newer.
            _ => return None,
        }
    }
    interface.filter(|_| simple)
}

fn contains((outer, outer_len): Block, (inner, inner_len): Block) -> bool {
    let differs = outer.to_bits() ^ inner.to_bits();
    outer_len <= inner_len && differs.leading_zeros() >= u32::from(outer_len)
}

#[cfg(test)]
mod tests;
