//! Changes of the host's network, by netlink: a new IPv4 address or route may mean a new NAT, and with native IPv6
//! there is no use for Teredo (RFC 4380 §5.5).

mod ipv6;
mod known;
mod native;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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

use crate::net::interface::into_io;
pub use ipv6::{Ipv6Watcher, global_addresses};
use known::Known;
use native::Native;
pub use native::NativeIpv6;

/// A change is reported when nothing more has changed for this long,
const QUIET: Duration = Duration::from_millis(200);

/// or when this long has passed since the first of several.
const LONGEST: Duration = Duration::from_secs(1);

/// What is watched for a change of the IPv4 network.
const NETWORK: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// The most changes that one report lists.
const MAX_LISTED: usize = 32;

/// What changed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkChange {
    /// One line for each change, such as `192.0.2.7/24 added to eth0`.
    pub changes: Vec<String>,
    /// Whether any of it is a change of IPv4; otherwise only [`Watcher::native`] has another answer.
    pub ipv4: bool,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.changes.join(", "))
    }
}

type Messages = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>;

/// Watches links, IPv4 addresses, IPv4 routes, and whether there is native IPv6. Must be used within a tokio runtime.
pub struct Watcher {
    subscription: Subscription,
    known: Known,
    native: Native,
    /// Notifications were lost: what is known must be read again.
    stale: bool,
    pending: Vec<String>,
    /// Whether a change of IPv4 is pending.
    ipv4: bool,
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

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("known", &self.known)
            .field("native", &self.native)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Watcher {
    /// Starts to watch. Changes of the interface with the index `own`, the tunnel itself, are not reported.
    pub async fn new(own: Option<u32>) -> io::Result<Self> {
        let subscription = Subscription::open(&NETWORK)?;
        let (mut known, mut native) = (Known::new(own), Native::new(own));
        read_all(&subscription.handle, &mut known, &mut native).await?;
        Ok(Self {
            subscription,
            known,
            native,
            stale: false,
            pending: Vec::new(),
            ipv4: false,
            first: None,
            last: None,
        })
    }

    /// The host's way to the IPv6 Internet by other means than Teredo, if it has one, as of the last change reported.
    pub fn native(&self) -> Option<NativeIpv6> {
        self.native.verdict()
    }

    /// Waits for a change, and then until it is quiet, but not for long: what happens together is reported together.
    ///
    /// May be dropped while it waits and called again; nothing is lost. Where the kernel could not keep up,
    /// everything is read anew and compared.
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
                Err(_) if self.pending.is_empty() => {}
                Err(_) => {
                    (self.first, self.last) = (None, None);
                    return Ok(NetworkChange {
                        changes: std::mem::take(&mut self.pending),
                        ipv4: std::mem::take(&mut self.ipv4),
                    });
                }
            }
        }
    }

    fn note(&mut self, payload: &NetlinkPayload<RouteNetlinkMessage>) {
        match payload {
            NetlinkPayload::InnerMessage(message) => {
                let change = self.known.apply(message);
                self.ipv4 |= change.is_some();
                let native = self.native.apply(message);
                self.report(change.into_iter().chain(native));
            }
            NetlinkPayload::Overrun(_) => self.stale = true,
            _ => {}
        }
    }

    fn report(&mut self, changes: impl IntoIterator<Item = String>) {
        for change in changes {
            let now = Instant::now();
            self.first.get_or_insert(now);
            self.last = Some(now);
            if self.pending.len() < MAX_LISTED {
                self.pending.push(change);
            }
        }
    }

    async fn read_again(&mut self) -> io::Result<()> {
        let (mut fresh, mut fresh_native) = (self.known.emptied(), self.native.emptied());
        read_all(&self.subscription.handle, &mut fresh, &mut fresh_native).await?;
        let changes = self.known.differences(&fresh);
        self.ipv4 |= !changes.is_empty();
        let native = self.native.difference(&fresh_native);
        (self.known, self.native) = (fresh, fresh_native);
        self.stale = false;
        self.report(changes.into_iter().chain(native));
        Ok(())
    }
}

async fn read_all(
    handle: &rtnetlink::Handle,
    known: &mut Known,
    native: &mut Native,
) -> io::Result<()> {
    let mut note = |message: RouteNetlinkMessage| {
        known.apply(&message);
        native.apply(&message);
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

/// The address that the kernel would send from to `server`: the local address of a socket that is bound to none.
///
/// Fails with `NetworkUnreachable` where there is no route.
pub fn local_address(server: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Connecting a UDP socket sends nothing; any port will do.
    socket.connect((server, 3544))?;
    match socket.local_addr()? {
        SocketAddr::V4(local) => Ok(*local.ip()),
        SocketAddr::V6(_) => Err(io::ErrorKind::InvalidData.into()),
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

/// Reads what networks the host is attached to. Must be called within a tokio runtime.
pub async fn attached() -> io::Result<Attached> {
    let subscription = Subscription::open(&NETWORK)?;
    let (mut known, mut native) = (Known::new(None), Native::new(None));
    read_all(&subscription.handle, &mut known, &mut native).await?;
    Ok(Attached {
        broadcasts: known.broadcasts(),
        subnets: known.subnets(),
    })
}

/// The directed broadcast addresses of the attached subnets, to none of which anything may be sent
/// (RFC 4380 §5.2.4). In ascending order. Must be called within a tokio runtime.
pub async fn broadcasts() -> io::Result<Vec<Ipv4Addr>> {
    Ok(attached().await?.broadcasts)
}

#[cfg(test)]
mod tests;
