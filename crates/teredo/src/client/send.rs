//! Transmission (RFC 4380 §5.2.4): where a packet of the host goes.

use std::net::Ipv6Addr;

use super::reachability::Forward;
use super::{Client, Phase};
use crate::wire::{self, Ipv6Packet, MTU, TeredoAddress, protocol};
use crate::{DropReason, Instant, Submission};

impl Client {
    /// The known-peer path; [`Submission::Drop`] is not counted yet.
    pub(super) fn submit(&mut self, now: Instant, bytes: &[u8]) -> Submission {
        // R4380-5.2-04
        let Phase::Qualified(service) = &self.phase else {
            return Submission::Drop(DropReason::NotQualified);
        };
        let own = service.ipv6;
        let Ok(packet) = Ipv6Packet::parse(bytes) else {
            return Submission::Drop(DropReason::Malformed);
        };
        let destination = packet.destination();
        // R6169-2.2-01
        if packet.source() != own {
            return Submission::Drop(DropReason::WrongSource);
        }
        if bytes.len() > MTU {
            if wire::may_be_answered_with_error(bytes) && self.icmpv6_errors.allow(now) {
                self.outbox
                    .host(|out| wire::emit_packet_too_big(own, own, MTU as u32, bytes, out));
            }
            return Submission::Drop(DropReason::TooBig);
        }
        if let Some(slot) = self.peers.find(&destination) {
            let mut peer = self.peers.in_use(slot);
            // Case 1: a trusted peer that was heard in the last 30 s (R4380-5.2.4-02).
            if let Some(path) = peer.path(now) {
                peer.sent(now, 1, bytes.len() as u64);
                let hears_us = peer.forward == Forward::Confirmed;
                let unsure = peer.contact.is_none() && (peer.is_stale(now) || !hears_us);
                let has_offer = peer.has_offer();
                self.peers.touch_used(slot);
                self.last_sent_to = Some(slot);
                if unsure && hears_us {
                    // If this fails, the entry expires as usual.
                    let _ = self.contact(now, destination);
                } else if unsure {
                    self.doubt(now, slot, bytes);
                } else if !has_offer && self.peers.reports_paths() {
                    self.offer_path(now, slot);
                }
                let Some(port) = path.port else {
                    return Submission::Send(path.to);
                };
                self.random_ports.data_sent(now, port);
                return Submission::SendFrom { port, to: path.to };
            }
        }
        let located = self.locate(now, packet, own);
        located.unwrap_or_else(Submission::Drop)
    }

    /// Cases 2 and 5 of RFC 4380 §5.2.4: there is no path. Apart from the path of a known peer, which it would slow down.
    #[inline(never)]
    fn locate(
        &mut self,
        now: Instant,
        packet: Ipv6Packet<'_>,
        own: Ipv6Addr,
    ) -> Result<Submission, DropReason> {
        let (destination, bytes) = (packet.destination(), packet.as_bytes());
        if let Err(reason) = self.check_destination(destination, own) {
            // Without an error, the program would wait in vain. RFC 4380 §5.2.4 prescribes silence only for the
            // destinations that it refuses.
            match reason {
                DropReason::NotTunnelled => {
                    self.report_unreachable(now, wire::unreachable::NO_ROUTE, bytes);
                }
                DropReason::OwnAddress => {
                    self.report_unreachable(now, wire::unreachable::ADDRESS, bytes);
                }
                _ => {}
            }
            return Err(reason);
        }
        // Locate the peer, and send nothing until then (R4380-5.2.4-03, R4380-5.2.4-06, R4380-5.2.9-04,
        // R4380-7.2.2-01). The cone bit of a peer is ignored, so case 4 does not occur (R5991-3.2-02, R4380-5.2.4-10).
        if let Some(slot) = self.peers.find(&destination)
            && (begins(&packet) || self.peers.peer(slot).is_quiet(now))
        {
            self.peers.begin(slot);
        }
        let slot = match self.contact(now, destination) {
            Ok(slot) => slot,
            Err(reason) => {
                if reason == DropReason::PeerUnreachable {
                    self.report_unreachable(now, wire::unreachable::ADDRESS, bytes);
                }
                return Err(reason);
            }
        };
        let queued = self.peers.enqueue(now, slot, bytes);
        self.count_evictions();
        if queued {
            Ok(Submission::Queued)
        } else {
            Err(DropReason::QueueFull)
        }
    }

    fn check_destination(&self, destination: Ipv6Addr, own: Ipv6Addr) -> Result<(), DropReason> {
        if destination == own {
            return Err(DropReason::OwnAddress);
        }
        if !is_carried(destination) {
            return Err(DropReason::NotTunnelled);
        }
        TeredoAddress::from_ipv6(destination).map_or(Ok(()), |target| self.check_target(target))
    }
}

/// Whether the host opens a conversation with this packet, and does not answer one: an echo request, or the first
/// packet of a TCP connection. A stranger that forged a packet of the destination before does not matter then.
fn begins(packet: &Ipv6Packet<'_>) -> bool {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let payload = packet.payload();
    match packet.next_header() {
        protocol::ICMPV6 => payload.first() == Some(&wire::ECHO_REQUEST),
        protocol::TCP => payload
            .get(13)
            .is_some_and(|flags| flags & (SYN | ACK) == SYN),
        _ => false,
    }
}

/// Whether Teredo carries packets to and from this address: global unicast (R4380-7.1-01).
///
/// DEVIATION(rfc4380 §5.2.4): a client carries nothing to and from unique local addresses (fc00::/7). They have global
/// scope (RFC 4193 §3.3), but no relay has a route to a private network, and a packet from such an address comes from a
/// stranger.
pub(super) fn is_carried(address: Ipv6Addr) -> bool {
    match address.segments()[0] {
        // ::/8 holds the unspecified, loopback and IPv4-mapped addresses.
        0x0000..=0x00ff => false,
        // Unique-local, link-local, site-local and multicast.
        0xfc00..=0xffff => false,
        _ => true,
    }
}
