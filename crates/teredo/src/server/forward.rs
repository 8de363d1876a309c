//! How a server passes packets on from Teredo to Teredo (RFC 4380 §5.3.1).

use std::net::SocketAddrV4;

use super::{Pending, Server};
use crate::wire::{Datagram, Origin, TeredoAddress, set_hop_limit};
use crate::{DropReason, Reception};

impl Server {
    /// Passes a packet on, with all trailers and with nothing else of what came with it: an origin indication
    /// is the server's own word (R4380-5.3.1-13, R4380-5.3.1-15, A-08).
    pub(super) fn forward<'a>(
        &mut self,
        datagram: &Datagram<'_>,
        destination: TeredoAddress,
        from: SocketAddrV4,
    ) -> Result<Reception<'a>, DropReason> {
        let to = self.target(destination)?;
        let packet = &datagram.packet;
        // DEVIATION(rfc4380 §5.3): a server leaves the hop limit of bubbles as it is, although an IPv6 router counts it
        // down. Deployed clients send them with hop limit 0, and without them nobody is reached. No loop comes of it:
        // a server takes nothing from itself, and from another server only what rule 6 lets in, for its own clients.
        //
        // Everything else is counted down.
        let hop_limit = match packet.hop_limit() {
            hop_limit if packet.is_bubble() => hop_limit,
            0 | 1 => return Err(DropReason::HopLimit),
            hop_limit => hop_limit - 1,
        };

        self.outgoing.clear();
        // Only the client's own server says where a packet is from, so that the client knows whom to believe
        // (R4380-5.3.1-14, R4380-7.4.1-01).
        if destination.server == self.config.address.primary {
            Origin(from).emit(&mut self.outgoing);
        }
        let start = self.outgoing.len();
        self.outgoing.extend_from_slice(packet.as_bytes());
        self.outgoing
            .extend_from_slice(datagram.trailers.as_bytes());
        set_hop_limit(&mut self.outgoing[start..], hop_limit).map_err(|_| DropReason::Malformed)?;

        self.pending = Some(Pending {
            to,
            source: self.config.address.primary,
        });
        self.counters.forwarded += 1;
        Ok(Reception::Consumed)
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
