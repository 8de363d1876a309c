//! The way of the bubbles that test the secondary port's mapping.
//!
//! RFC 4380 sends them straight to the mapping. The NAT has to hairpin them, and to let them in. If none arrives, not even
//! at once, the search starts over with bubbles through the client's own server. The secondary port has sent to the server
//! and nowhere else, so its NAT lets the server's datagrams in as long as the mapping exists, whatever it filters by:
//!
//! ```text
//!  service port        secondary port            NAT, port-restricted                              own server
//!                           ── solicitation ────────────────────────────────────────────────────────>
//!                           <──────────────────────────────────────────────────── advertisement ──
//!                                 3 s
//!                           ── solicitation ────────────────────────────────────────────────────────>
//!                           <──────────────────────────────────────────────────── advertisement ──
//!                             the candidate interval
//!        ── bubble, for the Teredo address with the secondary port's mapping ───────────────────────>
//!                           <──────────────── bubble, origin: the service port's mapping ──
//! ```
//!
//! The first exchange alone is not like the service port's: Linux keeps a mapping for 30 s, and for 120 s once datagrams
//! have gone both ways for more than 2 s.
//!
//! A symmetric NAT shows the secondary port differently to both addresses of the server. The mapping towards the primary
//! one is what the service port keeps alive, so it is tested through the server as well.
//!
//! DEVIATION(rfc4380 §5.2.7): if no bubble reaches the secondary port directly, and behind a symmetric NAT, a client
//! searches for the refresh interval with bubbles that its own server forwards to the secondary port (R4380-5.2.7-02,
//! R4380-5.2.7-09). By the letter, clients behind NATs that filter by port, or that do not hairpin, keep to 30 s. The
//! server handles four bubbles a candidate at most.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::super::contact::HOP_LIMIT;
use super::super::{Client, Phase};
use super::{Range, Stage};
use crate::Instant;
use crate::wire::{self, Datagram, TeredoAddress};

/// The time between the two exchanges before a rest: more than the 2 s after which Linux takes a flow for a lasting one.
const SETTLING: Duration = Duration::from_secs(3);

/// How a bubble gets to the secondary port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To its mapping, and back through the NAT (RFC 4380 §5.2.7).
    Hairpin,
    /// Through the client's own server.
    ThroughServer,
}

impl super::Determination {
    /// Whether no bubble has reached the secondary port, on a search that ends with this outcome.
    pub(super) fn was_in_vain(&self, range: Range, succeeded: bool) -> bool {
        let found = match range {
            Range::Longer { found } => found,
            Range::Control => false,
            Range::Shorter { .. } => true,
        };
        self.way == Way::Hairpin && !found && !succeeded
    }

    /// Starts over with longer candidates, through the server.
    pub(super) fn start_over_through_server(&mut self) {
        self.way = Way::ThroughServer;
        self.range = Range::Longer { found: false };
        self.max = self.refresh * 4;
        self.candidate = self.refresh * 2;
    }
}

impl Client {
    /// Sends a bubble from the service port to the secondary one.
    pub(super) fn push_probe(&mut self, now: Instant, address: TeredoAddress) {
        let Phase::Qualified(service) = &mut self.phase else {
            return;
        };
        let to = match self.determination.way {
            Way::Hairpin => address.mapped,
            Way::ThroughServer => {
                service.spoken = now;
                service.server_socket()
            }
        };
        let own = service.ipv6;
        self.outbox.udp(to, |out| {
            wire::emit_bubble(own, address.to_ipv6(), HOP_LIMIT, out)
        });
    }

    /// Whether a bubble with the right addresses took this way, and comes from our service port.
    ///
    /// A NAT may show the external or the internal address of the service port (RFC 4787 §6). The server names it in the
    /// origin indication. Nobody else knows the random bits of the address, but a NAT that admits a stranger's bubble may
    /// refuse ours.
    pub(super) fn is_own_probe(&self, from: SocketAddrV4, datagram: &Datagram<'_>) -> bool {
        let Phase::Qualified(service) = &self.phase else {
            return false;
        };
        let mapped = service.address.mapped;
        let origin = datagram.origin.map(|origin| origin.0);
        match self.determination.way {
            Way::Hairpin => [mapped.ip(), self.local.ip()].contains(&from.ip()),
            Way::ThroughServer => from == service.server_socket() && origin == Some(mapped),
        }
    }

    /// The server has reported the mapping of the secondary port. Before the first rest through the server, it is asked
    /// twice.
    pub(super) fn settle(&mut self, now: Instant, mapped: SocketAddrV4, is_settled: bool) {
        match self.determination.way {
            Way::ThroughServer if !is_settled => {
                self.determination.stage = Stage::Settling {
                    until: now + SETTLING,
                };
            }
            _ => self.rest(now, mapped),
        }
    }
}
