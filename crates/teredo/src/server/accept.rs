//! Which packets a server accepts: rules 1 to 7 of RFC 4380 §5.3.1.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Server;
use crate::DropReason;
use crate::wire::{self, ALL_ROUTERS, Icmpv6, Ipv6Packet, TeredoAddress, protocol};

/// The messages that a server handles (RFC 4380 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Bubble,
    Solicitation,
    EchoRequest,
    EchoReply,
}

impl Server {
    /// Rule 2 (R4380-5.3.1-02): a bubble or an ICMPv6 message that §5.3 wants relayed or answered (R4380-5.3-03).
    ///
    /// ICMPv6 must directly follow the IPv6 header. A server needs no extension headers (W-01).
    pub(super) fn classify(&self, packet: &Ipv6Packet<'_>) -> Result<Message, DropReason> {
        if packet.is_bubble() {
            return Ok(Message::Bubble);
        }
        if packet.next_header() != protocol::ICMPV6 {
            return Err(match packet.upper_layer() {
                Err(_) => DropReason::Malformed,
                Ok(layer) if layer.routing.is_some() => DropReason::RoutingHeader,
                Ok(_) => DropReason::NotRelayed,
            });
        }
        // DEVIATION(rfc4380 §5.3): a server limits the length of the ICMPv6 messages that it forwards. Without a limit
        // it would relay data.
        if packet.payload().len() > self.config.max_icmpv6_bytes {
            return Err(DropReason::Oversized);
        }
        match Icmpv6::parse(packet).map_err(|_| DropReason::InvalidIcmpv6)? {
            Icmpv6::RouterSolicitation(_) => Ok(Message::Solicitation),
            Icmpv6::EchoRequest { .. } => Ok(Message::EchoRequest),
            Icmpv6::EchoReply { .. } => Ok(Message::EchoReply),
            _ => Err(DropReason::NotRelayed),
        }
    }

    /// Rule 3 (R4380-5.3.1-03, R4380-5.3.2-07), and the check that keeps a server from answering itself (L-01).
    pub(super) fn accept_outer(
        &self,
        from: SocketAddrV4,
        local: Ipv4Addr,
    ) -> Result<(), DropReason> {
        if !self.is_own(local) {
            return Err(DropReason::WrongDestination);
        }
        if self.is_own(*from.ip()) {
            return Err(DropReason::SelfLoop);
        }
        if !self.config.destinations.permits(from) {
            return Err(DropReason::RefusedSource);
        }
        Ok(())
    }

    /// Rules 4 to 7.
    pub(super) fn accept_inner(
        &self,
        packet: &Ipv6Packet<'_>,
        message: Message,
        from: SocketAddrV4,
    ) -> Result<(), DropReason> {
        let source = packet.source();
        let destination = packet.destination();
        let accepted = if let Some(source) = TeredoAddress::from_ipv6(source) {
            // Rule 5 (R4380-5.3.1-06, A-20), for destinations with any server.
            source.mapped == from
        } else if message == Message::Solicitation && source.is_unicast_link_local() {
            // Rule 4 (R4380-5.3.1-04). The rest of the source is ignored: deployed clients use identifiers of their
            // own.
            destination == ALL_ROUTERS
        } else {
            // Rule 6 (R4380-5.3.1-07). Deployed relays send bubbles from a link-local address, so the source need not
            // be global.
            wire::is_unicast(source)
                && !wire::is_obsolete_teredo(&source)
                && TeredoAddress::from_ipv6(destination)
                    .is_some_and(|destination| destination.server == self.config.address.primary)
        };
        // Rule 7 (R4380-5.3.1-08).
        if accepted {
            Ok(())
        } else {
            Err(DropReason::SpoofedSource)
        }
    }
}
