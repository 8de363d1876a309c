//! How a server passes packets on: from Teredo to Teredo, and to the IPv6 Internet (RFC 4380 §5.3.1).

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Server;
use super::write::{Plan, Task};
use crate::wire::{Datagram, Ipv6Packet, TeredoAddress};
use crate::{DropReason, Instant};

impl Server {
    /// Passes a packet on, with all trailers and with nothing else of what came with it: an origin indication
    /// is the server's own word (R4380-5.3.1-13, R4380-5.3.1-15, A-08).
    pub(super) fn forward(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
        destination: TeredoAddress,
        from: SocketAddrV4,
    ) -> Result<Plan<'_>, DropReason> {
        let to = self.target(destination)?;
        // DEVIATION(rfc4380 §5.3): a server leaves the hop limit of bubbles as it is, although an IPv6 router counts it
        // down. Deployed clients send them with hop limit 0, and without them nobody is reached. No loop comes of it:
        // a server takes nothing from itself, and from another server only what rule 6 lets in, for its own clients.
        //
        // Everything else is counted down.
        let hop_limit = if datagram.packet.is_bubble() {
            datagram.packet.hop_limit()
        } else {
            count_down(&datagram.packet)?
        };
        // Only the client's own server says where a packet is from, so that the client knows whom to believe
        // (R4380-5.3.1-14, R4380-7.4.1-01).
        let own = destination.server == self.config.address.primary;
        if !self.limiter.allows_ipv4(now, *to.ip()) {
            return Err(DropReason::RateLimited);
        }
        let task = Task::Forward {
            origin: own.then_some(from),
            hop_limit,
        };
        Ok(Plan::new(datagram, to, self.config.address.primary, task))
    }

    /// Passes a packet on to the IPv6 Internet, as the router that a server is to its clients (R4380-5.3.1-11). Rule 5
    /// has seen to the source (R4380-7.4.2-01).
    pub(super) fn forward_native(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
    ) -> Result<Plan<'_>, DropReason> {
        let hop_limit = count_down(&datagram.packet)?;
        if !self
            .limiter
            .allows_native(now, datagram.packet.destination())
        {
            return Err(DropReason::RateLimited);
        }
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let task = Task::ForwardNative { hop_limit };
        Ok(Plan::new(
            datagram,
            nobody,
            self.config.address.primary,
            task,
        ))
    }

    /// The address and port in a Teredo address, if something may be sent there (R4380-5.3.1-12,
    /// R4380-7.4.3-01). Never the server itself (R4380-5.3.1-16, L-01, L-02).
    pub(super) fn target(&self, destination: TeredoAddress) -> Result<SocketAddrV4, DropReason> {
        if self.is_own(*destination.mapped.ip()) {
            return Err(DropReason::SelfLoop);
        }
        if !self.config.destinations.permits(destination.mapped) {
            return Err(DropReason::RefusedDestination);
        }
        Ok(destination.mapped)
    }
}

/// The hop limit behind this router (RFC 8200 §3).
fn count_down(packet: &Ipv6Packet<'_>) -> Result<u8, DropReason> {
    match packet.hop_limit() {
        0 | 1 => Err(DropReason::HopLimit),
        hop_limit => Ok(hop_limit - 1),
    }
}
