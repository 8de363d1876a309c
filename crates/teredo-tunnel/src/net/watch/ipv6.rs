//! The host's own IPv6 addresses, for relays.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::MulticastGroup;
use tokio::time::Instant;

use super::{LONGEST, QUIET, Subscription};
use crate::net::interface::into_io;

const GROUPS: [MulticastGroup; 1] = [MulticastGroup::Ipv6Ifaddr];

/// Watches the host's IPv6 addresses. Must be used within a tokio runtime.
pub struct Ipv6Watcher(Subscription);

impl std::fmt::Debug for Ipv6Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ipv6Watcher").finish_non_exhaustive()
    }
}

impl Ipv6Watcher {
    /// Starts to watch.
    pub fn new() -> io::Result<Self> {
        Subscription::open(&GROUPS).map(Self)
    }

    /// Waits for a change, and then until it is quiet, but not for long. May be dropped while it waits and called
    /// again: a change that came meanwhile is at most reported late.
    pub async fn changed(&mut self) -> io::Result<()> {
        self.next().await?;
        let first = Instant::now();
        loop {
            let quiet = (Instant::now() + QUIET).min(first + LONGEST);
            match tokio::time::timeout_at(quiet, self.next()).await {
                Ok(more) => more?,
                Err(_) => return Ok(()),
            }
        }
    }

    async fn next(&mut self) -> io::Result<()> {
        let messages = &mut self.0.messages;
        if poll_fn(|cx| messages.as_mut().poll_next(cx))
            .await
            .is_none()
        {
            // The connection's task ended; whatever was missed is a change.
            self.0 = Subscription::open(&GROUPS)?;
        }
        Ok(())
    }
}

/// The host's addresses in the IPv6 Internet: global unicast ones, none of them a Teredo address. Must be called
/// within a tokio runtime.
pub async fn global_addresses() -> io::Result<Vec<Ipv6Addr>> {
    let subscription = Subscription::open(&GROUPS)?;
    let mut request = subscription.handle.address().get();
    request.message_mut().header.family = AddressFamily::Inet6;
    let mut messages = std::pin::pin!(request.execute());
    let mut addresses = Vec::new();
    while let Some(message) = messages.try_next().await.map_err(into_io)? {
        addresses.extend(address(&message).filter(is_global));
    }
    Ok(addresses)
}

fn address(message: &AddressMessage) -> Option<Ipv6Addr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(IpAddr::V6(address)) => Some(*address),
            _ => None,
        })
}

/// 2000::/3 is all that was ever given out.
fn is_global(address: &Ipv6Addr) -> bool {
    address.segments()[0] & 0xe000 == 0x2000 && !teredo::wire::is_teredo(address)
}
