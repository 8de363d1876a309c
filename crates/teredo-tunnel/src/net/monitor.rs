//! Changes of the host's network, by netlink: a new IPv4 address or route may mean a new NAT, and beside native IPv6
//! Teredo has no use (RFC 4380 §5.5).
//!
//! A role subscribes to what it needs. Links and addresses are read; of routes and rules the monitor only hears that they
//! changed, and then asks the kernel for the few routes that matter. A change is reported if it alters an answer.

mod ipv4;
mod ipv6;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;
use teredo::client::LocalSubnet;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::interface::into_io;
use super::route::{RouteLookup, RouteNotices};
use ipv4::Ipv4Network;
use ipv6::Ipv6Network;
pub use ipv6::NativeIpv6;

/// How long nothing more must change before a change is reported,
const QUIET: Duration = Duration::from_millis(200);

/// and how long after the first of several changes they are reported at the latest.
const LONGEST: Duration = Duration::from_secs(1);

/// How long after an error of netlink everything is read again.
const RETRY: Duration = Duration::from_secs(1);

/// The kernel's notifications that a server reads,
const OF_A_SERVER: &[MulticastGroup] = &[MulticastGroup::Ipv4Ifaddr];

/// and those that a node with a tunnel interface reads.
const OF_A_NODE: &[MulticastGroup] = &[
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Ifinfo,
];

/// The most changes that one report lists.
const MAX_LISTED: usize = 32;

/// Addresses all over the IPv4 Internet, one in a block of each registry: peers are reached by these routes.
const EVERYWHERE: [Ipv4Addr; 5] = [
    Ipv4Addr::new(102, 0, 0, 1),
    Ipv4Addr::new(103, 0, 0, 1),
    Ipv4Addr::new(193, 0, 0, 1),
    Ipv4Addr::new(199, 0, 0, 1),
    Ipv4Addr::new(200, 0, 0, 1),
];

/// A change of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChange {
    /// One line for each change, such as `192.0.2.7/24 added to eth0`.
    pub changes: Vec<String>,
    /// Whether IPv4 datagrams leave another way: by another interface, gateway or address, or by a link that was down.
    pub ipv4: bool,
    /// Whether [`NetworkMonitor::attached`] changed.
    pub attached: bool,
    /// Whether [`NetworkMonitor::native`], [`NetworkMonitor::global_addresses`] or [`NetworkMonitor::preferred`] changed.
    pub ipv6: bool,
    /// Whether the tunnel's own interface, or its routes, may have been changed.
    pub own: bool,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.changes.join(", "))
    }
}

type Messages = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + Sync>>;

/// Watches what a role needs to know of the network. Must be used within a tokio runtime.
pub struct NetworkMonitor {
    groups: &'static [MulticastGroup],
    subscription: Subscription,
    routes: Option<Routes>,
    own: Option<u32>,
    ipv4: Ipv4Network,
    ipv6: Ipv6Network,
    known: Known,
    /// Notifications were lost: everything must be read again, but not before `retry`.
    stale: bool,
    retry: Option<Instant>,
    /// Whether an error was logged since netlink last worked.
    complained: bool,
    pending: Pending,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// For a role that follows routes.
#[derive(Debug)]
struct Routes {
    notices: RouteNotices,
    lookup: RouteLookup,
    /// Addresses that datagrams are sent to.
    destinations: BTreeSet<Ipv4Addr>,
}

/// The state that was last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    attached: Attached,
    /// The ways to the destinations.
    ways: BTreeMap<Ipv4Addr, Option<Way>>,
    native: Option<NativeIpv6>,
    preferred: Option<String>,
    addresses: Vec<Ipv6Addr>,
}

/// How datagrams leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    link: u32,
    gateway: Option<IpAddr>,
    source: Option<Ipv4Addr>,
}

/// The changes heard of since the last report.
#[derive(Debug, Default)]
struct Pending {
    words: Vec<String>,
    /// Links that went up or down.
    links: BTreeSet<u32>,
    own: bool,
}

struct Subscription {
    handle: rtnetlink::Handle,
    messages: Messages,
    connection: JoinHandle<()>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Subscription {
    fn open(groups: &[MulticastGroup]) -> io::Result<Self> {
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(groups)?;
        let messages = futures_util::StreamExt::map(messages, |(message, _)| message);
        Ok(Self {
            handle,
            messages: Box::pin(messages),
            connection: tokio::spawn(connection),
        })
    }
}

impl Routes {
    fn open() -> io::Result<Self> {
        Ok(Self {
            notices: RouteNotices::open()?,
            lookup: RouteLookup::open()?,
            destinations: EVERYWHERE.into(),
        })
    }

    fn ways(&self) -> io::Result<BTreeMap<Ipv4Addr, Option<Way>>> {
        let way = |destination: &Ipv4Addr| {
            let way = self.lookup.ipv4(*destination)?.map(|(route, source)| Way {
                link: route.link,
                gateway: route.gateway,
                source,
            });
            Ok((*destination, way))
        };
        self.destinations.iter().map(way).collect()
    }
}

impl fmt::Debug for NetworkMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkMonitor")
            .field("ipv4", &self.ipv4)
            .field("ipv6", &self.ipv6)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl NetworkMonitor {
    /// Watches for a server: the subnets that it is attached to, which [`attached`](Self::attached) has.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn for_server() -> io::Result<Self> {
        Self::open(OF_A_SERVER, None, false).await
    }

    /// Watches for a relay whose interface has the index `own`: subnets, the host's global addresses, and the interface.
    ///
    /// It hears of no routes: a relay may be a router with a million of them.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn for_relay(own: u32) -> io::Result<Self> {
        Self::open(OF_A_NODE, Some(own), false).await
    }

    /// Watches for a client whose interface has the index `own`, if it has one.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn for_client(own: Option<u32>) -> io::Result<Self> {
        Self::open(OF_A_NODE, own, true).await
    }

    async fn open(
        groups: &'static [MulticastGroup],
        own: Option<u32>,
        follows_routes: bool,
    ) -> io::Result<Self> {
        let subscription = Subscription::open(groups)?;
        let (mut ipv4, mut ipv6) = (Ipv4Network::new(own), Ipv6Network::new(own));
        let routes = follows_routes.then(Routes::open).transpose()?;
        read_all(&subscription.handle, &mut ipv4, &mut ipv6).await?;
        let mut monitor = Self {
            groups,
            subscription,
            routes,
            own,
            ipv4,
            ipv6,
            known: Known::default(),
            stale: false,
            retry: None,
            complained: false,
            pending: Pending::default(),
            first: None,
            last: None,
        };
        monitor.known = monitor.look()?;
        Ok(monitor)
    }

    /// The IPv4 networks that the host is attached to, as of the last change.
    pub fn attached(&self) -> Attached {
        self.known.attached.clone()
    }

    /// The host's way to the IPv6 Internet by other means than Teredo, if it has one, as of the last change. Only for a
    /// client.
    pub fn native(&self) -> Option<NativeIpv6> {
        self.known.native.clone()
    }

    /// The interface whose route to the IPv6 Internet is preferred to the tunnel's, as of the last change. Only for a
    /// client.
    pub fn preferred(&self) -> Option<&str> {
        self.known.preferred.as_deref()
    }

    /// The host's addresses in the IPv6 Internet, ascending: global unicast ones, Teredo addresses excluded.
    pub fn global_addresses(&self) -> Vec<Ipv6Addr> {
        self.known.addresses.clone()
    }

    /// Follows the routes to these servers as well. Only for a client.
    pub fn follow(&mut self, servers: impl IntoIterator<Item = Ipv4Addr>) {
        let Some(routes) = &mut self.routes else {
            return;
        };
        routes.destinations = EVERYWHERE.into_iter().chain(servers).collect();
        // New destinations are no change of the network.
        if let Ok(ways) = routes.ways() {
            for (destination, way) in ways {
                self.known.ways.entry(destination).or_insert(way);
            }
        }
        let destinations = &routes.destinations;
        self.known
            .ways
            .retain(|destination, _| destinations.contains(destination));
    }

    /// Waits for a change, and then until it is quiet, but not for long: changes that happen together are reported
    /// together.
    ///
    /// Cancel safe. If the kernel drops notifications or refuses to answer, everything is read again and compared.
    pub async fn changed(&mut self) -> NetworkChange {
        loop {
            match self.next().await {
                Ok(change) => {
                    self.complained = false;
                    return change;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.complained, true) {
                        tracing::warn!(%error, "cannot monitor the network, trying again");
                    }
                    self.stale = true;
                    self.retry = Some(Instant::now() + RETRY);
                }
            }
        }
    }

    async fn next(&mut self) -> io::Result<NetworkChange> {
        loop {
            if let Some(at) = self.retry {
                tokio::time::sleep_until(at).await;
                self.subscription = Subscription::open(self.groups)?;
                self.retry = None;
            }
            if self.stale {
                self.read_again().await?;
            }
            let ready = match (self.first, self.last) {
                (Some(first), Some(last)) => (last + QUIET).min(first + LONGEST),
                _ => Instant::now() + Duration::from_secs(3600),
            };
            // While a look is due, further notices say nothing new.
            let notices = self.routes.as_ref().filter(|_| self.first.is_none());
            let noticed = async {
                match notices {
                    Some(routes) => routes.notices.arrived().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                message = poll_fn(|cx| self.subscription.messages.as_mut().poll_next(cx)) => match message {
                    Some(message) => self.note(&message.payload),
                    // The connection's task ended; a new one starts from a full reading.
                    None => {
                        self.subscription = Subscription::open(self.groups)?;
                        self.stale = true;
                    }
                },
                noticed = noticed => {
                    noticed?;
                    self.pending.own |= self.own.is_some();
                    self.wait_for_more();
                }
                () = tokio::time::sleep_until(ready) => if self.first.is_some() {
                    let change = self.compare()?;
                    if let Some(change) = change {
                        return Ok(change);
                    }
                }
            }
        }
    }

    fn note(&mut self, payload: &NetlinkPayload<RouteNetlinkMessage>) {
        match payload {
            NetlinkPayload::InnerMessage(message) => {
                let (link, is_link) = link_of(message);
                let was_up = link.map(|link| self.ipv4.is_up(link));
                let words = self.ipv4.apply(message);
                self.ipv6.apply(message);
                let is_own = link.is_some() && link == self.own;
                self.pending.own |= is_own;
                if let Some(link) = link.filter(|_| is_link && !is_own)
                    && was_up != Some(self.ipv4.is_up(link))
                {
                    self.pending.links.insert(link);
                }
                self.list(words);
                self.wait_for_more();
            }
            NetlinkPayload::Overrun(_) => self.stale = true,
            _ => {}
        }
    }

    fn wait_for_more(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn list(&mut self, words: impl IntoIterator<Item = String>) {
        let room = MAX_LISTED - self.pending.words.len().min(MAX_LISTED);
        self.pending.words.extend(words.into_iter().take(room));
    }

    async fn read_again(&mut self) -> io::Result<()> {
        let (mut ipv4, mut ipv6) = (self.ipv4.emptied(), self.ipv6.emptied());
        read_all(&self.subscription.handle, &mut ipv4, &mut ipv6).await?;
        self.stale = false;
        let words = self.ipv4.differences(&ipv4);
        (self.ipv4, self.ipv6) = (ipv4, ipv6);
        self.list(words);
        // A lost notification may have been about the tunnel's interface.
        self.pending.own |= self.own.is_some();
        self.wait_for_more();
        Ok(())
    }

    /// Reads the present state.
    fn look(&self) -> io::Result<Known> {
        let mut known = Known {
            attached: Attached {
                broadcasts: self.ipv4.broadcasts(),
                subnets: self.ipv4.subnets(),
            },
            addresses: self.ipv6.global_addresses(),
            ..Known::default()
        };
        if let Some(routes) = &self.routes {
            known.ways = routes.ways()?;
            known.native = self.ipv6.native(&routes.lookup)?;
            known.preferred = self.ipv6.preferred(&routes.lookup)?;
        }
        Ok(known)
    }

    /// Ends the wait. Returns the difference from the last report, if there is one.
    fn compare(&mut self) -> io::Result<Option<NetworkChange>> {
        if let Some(routes) = &self.routes {
            // First, so that a change after the look is noticed.
            routes.notices.take()?;
        }
        let now = self.look()?;
        let Pending {
            mut words,
            links,
            own,
        } = std::mem::take(&mut self.pending);
        (self.first, self.last) = (None, None);
        let before = std::mem::replace(&mut self.known, now);
        let now = &self.known;
        let in_use = |known: &Known| -> BTreeSet<u32> {
            let ways = known.ways.values().flatten();
            ways.map(|way| way.link).collect()
        };
        let used = &in_use(&before) | &in_use(now);
        let change = NetworkChange {
            ipv4: before.ways != now.ways || !used.is_disjoint(&links),
            attached: before.attached != now.attached,
            ipv6: (&before.native, &before.preferred, &before.addresses)
                != (&now.native, &now.preferred, &now.addresses),
            own,
            changes: Vec::new(),
        };
        words.extend(self.ways_in_words(&before));
        words.extend(ipv6_in_words(&before, now));
        words.truncate(MAX_LISTED);
        let matters = change.ipv4 || change.attached || change.ipv6;
        Ok((matters || own).then(|| NetworkChange {
            changes: if matters { words } else { Vec::new() },
            ..change
        }))
    }

    /// The ways that were not there before.
    fn ways_in_words(&self, before: &Known) -> BTreeSet<String> {
        let changed = self
            .known
            .ways
            .iter()
            .filter(|(destination, way)| before.ways.get(destination) != Some(way));
        let text = |way: &Option<Way>| match way {
            Some(Way {
                link,
                gateway: Some(gateway),
                ..
            }) => {
                format!("IPv4 leaves via {gateway} on {}", self.ipv4.name(*link))
            }
            Some(way) => format!("IPv4 leaves on {}", self.ipv4.name(way.link)),
            None => "no route to the IPv4 Internet".to_owned(),
        };
        changed.map(|(_, way)| text(way)).collect()
    }
}

fn ipv6_in_words(before: &Known, now: &Known) -> Vec<String> {
    let mut words = Vec::new();
    if before.native != now.native {
        words.push(match &now.native {
            Some(native) => format!("native IPv6: {native}"),
            None => "no native IPv6 any more".to_owned(),
        });
    } else if before.preferred != now.preferred {
        words.push(match &now.preferred {
            Some(interface) => format!("IPv6 leaves by {interface}"),
            None => "IPv6 leaves by the tunnel".to_owned(),
        });
    }
    let (old, new) = (&before.addresses, &now.addresses);
    let gone = old.iter().filter(|address| !new.contains(address));
    words.extend(gone.map(|address| format!("{address} removed")));
    let added = new.iter().filter(|address| !old.contains(address));
    words.extend(added.map(|address| format!("{address} added")));
    words
}

/// The interface that a message is about, and whether it is about the link itself.
fn link_of(message: &RouteNetlinkMessage) -> (Option<u32>, bool) {
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
            (Some(link.header.index), true)
        }
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
            (Some(address.header.index), false)
        }
        _ => (None, false),
    }
}

/// The IPv4 networks that the host is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Their directed broadcast addresses, ascending: nothing may be sent there (RFC 4380 §5.2.4).
    pub broadcasts: Vec<Ipv4Addr>,
    /// The host's own addresses and their subnets, where neighbours are looked for (RFC 4380 §5.2.8).
    pub subnets: Vec<LocalSubnet>,
}

async fn read_all(
    handle: &rtnetlink::Handle,
    ipv4: &mut Ipv4Network,
    ipv6: &mut Ipv6Network,
) -> io::Result<()> {
    let mut note = |message: RouteNetlinkMessage| {
        ipv4.apply(&message);
        ipv6.apply(&message);
    };
    let mut links = std::pin::pin!(handle.link().get().execute());
    while let Some(link) = links.try_next().await.map_err(into_io)? {
        note(RouteNetlinkMessage::NewLink(link));
    }
    // Of both families.
    let mut addresses = std::pin::pin!(handle.address().get().execute());
    while let Some(address) = addresses.try_next().await.map_err(into_io)? {
        note(RouteNetlinkMessage::NewAddress(address));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
