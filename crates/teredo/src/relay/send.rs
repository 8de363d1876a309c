//! Transmission (RFC 4380 §5.4.1): where a packet of the IPv6 Internet goes.

use std::net::Ipv6Addr;

use super::peers::{Key, Tick};
use super::{Relay, contact};
use crate::server::is_global;
use crate::wire::{self, Ipv6Packet, MTU, TeredoAddress};
use crate::{DropReason, Instant, Submission};

/// From which age on an entry in use is verified anew, while its packets still flow, in seconds. One-way traffic
/// would otherwise come to a halt every 30 s.
const STALE: u32 = 20;

impl Relay {
    pub(super) fn submit(&mut self, now: Instant, bytes: &[u8]) -> Result<Submission, DropReason> {
        let packet = Ipv6Packet::parse(bytes).map_err(|_| DropReason::Malformed)?;
        // R4380-5.4.1-01
        let target =
            TeredoAddress::from_ipv6(packet.destination()).ok_or(DropReason::NotTunnelled)?;
        self.check_source(packet.source())?;
        if bytes.len() > MTU {
            self.report(now, bytes, |from, to, out| {
                wire::emit_packet_too_big(from, to, MTU as u32, bytes, out)
            });
            return Err(DropReason::TooBig);
        }
        let (key, tick) = (Key::from(target), Tick::at(now));
        // Case 1 (R4380-5.4.1-03).
        if let Some(peer) = self.trusted.find(key, tick) {
            peer.sent(tick);
            if peer.is_silent_for(STALE, tick) && !self.underway.contains(key) {
                // Should it fail, the entry expires as it would have done.
                let _ = self.contact(now, key, packet.source());
            }
            self.counters.to_clients += 1;
            return Ok(Submission::Send(target.mapped));
        }
        // Case 3, also where the cone bit calls for case 2 (R4380-5.4.1-10, R5991-3.2-02).
        contact::check(&self.config, target)?;
        if !self.underway.contains(key) {
            self.contact(now, key, packet.source())?;
        }
        let fits = self.underway.enqueue(key, bytes);
        self.count_evictions();
        if fits {
            Ok(Submission::Queued)
        } else {
            Err(DropReason::QueueFull)
        }
    }

    /// What comes from the IPv6 Internet does not come from Teredo, and has a source that can be answered (L-04).
    fn check_source(&self, source: Ipv6Addr) -> Result<(), DropReason> {
        if wire::is_teredo(&source) {
            Err(DropReason::SpoofedSource)
        } else if !is_global(source) {
            Err(DropReason::NotTunnelled)
        } else if !self.config.served.gives(source) {
            Err(DropReason::WrongSource)
        } else {
            Ok(())
        }
    }

    /// Sends an ICMPv6 error about a packet to its sender, as far as RFC 4443 §2.4 permits.
    pub(super) fn report(
        &mut self,
        now: Instant,
        packet: &[u8],
        emit: impl FnOnce(Ipv6Addr, Ipv6Addr, &mut Vec<u8>) -> bool,
    ) {
        let Some(own) = self.config.error_source else {
            return;
        };
        let Ok(about) = Ipv6Packet::parse(packet) else {
            return;
        };
        if wire::may_be_answered_with_error(packet) && self.icmpv6_errors.allow(now) {
            self.outbox.host(|out| emit(own, about.source(), out));
        }
    }
}
