//! Changes of the host's network, by netlink: a new IPv4 address or route may mean a new NAT, and beside native IPv6
//! Teredo has no use (RFC 4380 §5.5).

mod ipv4;
mod ipv6;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{MulticastGroup, RouteMessageBuilder};
use rustix::io::Errno;
use teredo::client::LocalSubnet;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::interface::into_io;
use ipv4::Ipv4Network;
use ipv6::Ipv6Network;
pub use ipv6::NativeIpv6;

/// How long nothing more must change before a change is reported,
const QUIET: Duration = Duration::from_millis(200);

/// and how long after the first of several changes they are reported at the latest.
const LONGEST: Duration = Duration::from_secs(1);

/// The kernel's notifications that the monitor reads.
const NETWORK: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// The most changes that one report lists.
const MAX_LISTED: usize = 32;

/// A change of the network, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChange {
    /// One line for each change, such as `192.0.2.7/24 added to eth0`.
    pub changes: Vec<String>,
    /// Whether IPv4 changed.
    pub ipv4: bool,
    /// Whether [`NetworkMonitor::native`] or [`NetworkMonitor::global_addresses`] changed.
    pub ipv6: bool,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.changes.join(", "))
    }
}

type Messages = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + Sync>>;

/// Watches links, IPv4 addresses and routes, and native IPv6. Must be used within a tokio runtime.
pub struct NetworkMonitor {
    subscription: Subscription,
    ipv4: Ipv4Network,
    ipv6: Ipv6Network,
    /// Notifications were lost: everything must be read again.
    stale: bool,
    pending: NetworkChange,
    first: Option<Instant>,
    last: Option<Instant>,
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

impl fmt::Debug for NetworkMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkMonitor")
            .field("ipv4", &self.ipv4)
            .field("ipv6", &self.ipv6)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl NetworkMonitor {
    /// Starts to watch. Changes of the interface with the index `own`, the tunnel itself, are not reported.
    pub async fn new(own: Option<u32>) -> io::Result<Self> {
        let subscription = Subscription::open(&NETWORK)?;
        let (mut ipv4, mut ipv6) = (Ipv4Network::new(own), Ipv6Network::new(own));
        read_all(&subscription.handle, &mut ipv4, &mut ipv6).await?;
        Ok(Self {
            subscription,
            ipv4,
            ipv6,
            stale: false,
            pending: NetworkChange::default(),
            first: None,
            last: None,
        })
    }

    /// The IPv4 networks that the host is attached to, as of the last change.
    pub fn attached(&self) -> Attached {
        Attached {
            broadcasts: self.ipv4.broadcasts(),
            subnets: self.ipv4.subnets(),
        }
    }

    /// The host's route to the IPv6 Internet by other means than Teredo, if it has one, as of the last change.
    pub fn native(&self) -> Option<NativeIpv6> {
        self.ipv6.native()
    }

    /// The host's addresses in the IPv6 Internet, ascending: global unicast ones, Teredo addresses excluded.
    pub fn global_addresses(&self) -> Vec<Ipv6Addr> {
        self.ipv6.global_addresses()
    }

    /// Waits for a change, and then until it is quiet, but not for long: changes that happen together are reported
    /// together.
    ///
    /// Cancel safe. If the kernel drops notifications, everything is read again and compared.
    pub async fn changed(&mut self) -> io::Result<NetworkChange> {
        loop {
            if self.stale {
                self.read_again().await?;
            }
            let ready = match (self.first, self.last) {
                (Some(first), Some(last)) => (last + QUIET).min(first + LONGEST),
                _ => Instant::now() + Duration::from_secs(3600),
            };
            let next = poll_fn(|cx| self.subscription.messages.as_mut().poll_next(cx));
            match tokio::time::timeout_at(ready, next).await {
                Ok(Some(message)) => self.note(&message.payload),
                // The connection's task ended; a new one starts from a full reading.
                Ok(None) => {
                    self.subscription = Subscription::open(&NETWORK)?;
                    self.stale = true;
                }
                Err(_) if self.first.is_none() => {}
                Err(_) => {
                    (self.first, self.last) = (None, None);
                    return Ok(std::mem::take(&mut self.pending));
                }
            }
        }
    }

    fn note(&mut self, payload: &NetlinkPayload<RouteNetlinkMessage>) {
        match payload {
            NetlinkPayload::InnerMessage(message) => {
                let ipv4 = self.ipv4.apply(message);
                let ipv6 = self.ipv6.apply(message);
                self.report(ipv4.into_iter().collect(), ipv6);
            }
            NetlinkPayload::Overrun(_) => self.stale = true,
            _ => {}
        }
    }

    fn report(&mut self, ipv4: Vec<String>, ipv6: Vec<String>) {
        if ipv4.is_empty() && ipv6.is_empty() {
            return;
        }
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.pending.ipv4 |= !ipv4.is_empty();
        self.pending.ipv6 |= !ipv6.is_empty();
        let room = MAX_LISTED - self.pending.changes.len().min(MAX_LISTED);
        let changes = ipv4.into_iter().chain(ipv6).take(room);
        self.pending.changes.extend(changes);
    }

    async fn read_again(&mut self) -> io::Result<()> {
        let (mut ipv4, mut ipv6) = (self.ipv4.emptied(), self.ipv6.emptied());
        read_all(&self.subscription.handle, &mut ipv4, &mut ipv6).await?;
        self.stale = false;
        self.report(self.ipv4.differences(&ipv4), self.ipv6.differences(&ipv6));
        (self.ipv4, self.ipv6) = (ipv4, ipv6);
        Ok(())
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
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let mut routes = std::pin::pin!(handle.route().get(all).execute());
    while let Some(route) = routes.try_next().await.map_err(into_io)? {
        note(RouteNetlinkMessage::NewRoute(route));
    }
    let all = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut routes = std::pin::pin!(handle.route().get(all).execute());
    loop {
        match routes.try_next().await.map_err(into_io) {
            Ok(Some(route)) => note(RouteNetlinkMessage::NewRoute(route)),
            Ok(None) => return Ok(()),
            // A kernel without IPv6 has no routes of it.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
