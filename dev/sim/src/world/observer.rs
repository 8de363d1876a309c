//! Watching a world that is too large to be kept.

use teredo::Instant;
use teredo::client::Event;

use crate::datagram::Datagram;
use crate::host::{ClientId, HostId};

/// Sees what happens in a world, as it happens. See [`World::set_observer`](crate::World::set_observer).
pub trait Observer {
    /// A host sends a datagram.
    fn sent(&mut self, now: Instant, host: HostId, datagram: &Datagram);

    /// A client delivers an IPv6 packet to its host.
    fn delivered(&mut self, now: Instant, client: ClientId, packet: &[u8]);

    /// A client tells its host something.
    fn event(&mut self, now: Instant, client: ClientId, event: &Event);
}
