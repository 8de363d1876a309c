//! Qualification (RFC 4380 §5.2.1) as RFC 5991 §3.2 has it: no cone phase.
//!
//! The primary and the secondary address are asked at the same moment, so that one round trip gives the mapping
//! and tells a symmetric NAT. With several servers each next one joins after a pause, the first to be complete
//! wins, and the winner is asked first the next time: the best is kept, and a dead one costs a second (R4380-MS-02).
//!
//! DEVIATION(rfc4380 §5.2.1): both addresses of a server are asked at once, and several servers race: one round trip
//! instead of two, and a dead server costs a second instead of half a minute. Neither changes what an answer means,
//! and a server cannot tell the difference (R4380-5.2.1-10).
//!
//! A server for which there are [`Credentials`] is asked with the identifier and a keyed hash, and believed with a
//! keyed hash alone (§5.2.2). Any other server is asked with a nonce, and believed with the nonce. Nothing but this
//! exchange is protected: bubbles and data carry no element (R4380-5.2.2-10).

use std::net::{Ipv6Addr, SocketAddrV4};

use super::{Client, Event, Nat, Phase, Reason, ServerAddress};
use crate::wire::{
    Authentication, Datagram, Flags, Icmpv6, PORT, TeredoAddress, emit_router_solicitation,
    link_local,
};
use crate::{Credentials, DropReason, Instant};

/// Asking all servers, until one is complete or all are given up.
#[derive(Debug)]
pub(super) struct Qualification {
    inquiries: Vec<Inquiry>,
}

/// Asking one server.
#[derive(Debug)]
struct Inquiry {
    server: ServerAddress,
    primary: Ask,
    secondary: Ask,
    attempts: u32,
    /// Whether there is a secret to ask with.
    secured: bool,
    /// Whether somebody answered who has the nonce and not the secret.
    unauthenticated: bool,
    /// When to ask first, to repeat, or to give up; `None` once given up.
    due: Option<Instant>,
}

impl Inquiry {
    fn unanswered(&self) -> usize {
        let asks = [&self.primary, &self.secondary];
        asks.iter().filter(|ask| ask.mapping.is_none()).count()
    }

    fn failure(&self) -> Reason {
        match (self.primary.mapping, self.secondary.mapping) {
            (Some(primary), Some(secondary)) => Reason::SymmetricNat { primary, secondary },
            _ if self.unauthenticated => Reason::Unauthenticated(self.server.primary),
            (Some(_), None) => Reason::SecondarySilent(self.server.secondary),
            (None, Some(_)) => Reason::PrimarySilent(self.server.primary),
            (None, None) if self.secured => Reason::ServerSilentToSecret(self.server.primary),
            (None, None) => Reason::ServerSilent(self.server.primary),
        }
    }
}

/// One of the two questions to a server.
#[derive(Debug, Default)]
struct Ask {
    nonce: Option<[u8; 8]>,
    mapping: Option<SocketAddrV4>,
}

impl Qualification {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.inquiries
            .iter()
            .filter_map(|inquiry| inquiry.due)
            .min()
    }

    /// The question that a datagram from `from` may answer.
    fn ask_of(&mut self, from: SocketAddrV4, nonce: [u8; 8]) -> Option<(ServerAddress, &mut Ask)> {
        if from.port() != PORT {
            return None;
        }
        self.inquiries.iter_mut().find_map(|inquiry| {
            let server = inquiry.server;
            let ask = if *from.ip() == server.primary {
                &mut inquiry.primary
            } else if *from.ip() == server.secondary {
                &mut inquiry.secondary
            } else {
                return None;
            };
            (ask.nonce == Some(nonce)).then_some((server, ask))
        })
    }

    /// Why nothing came of it: what the first of the most talkative servers left open.
    fn failure(&self) -> Reason {
        self.inquiries
            .iter()
            .min_by_key(|inquiry| inquiry.unanswered())
            .map_or(Reason::NoServer, Inquiry::failure)
    }
}

impl Client {
    /// The source of the client's solicitations: the link-local address of RFC 4380 §4, cone bit clear
    /// (R4380-5.2.1-01, R5991-3.2-01, R6169-5.2-01).
    pub(super) fn link_local(&self) -> Ipv6Addr {
        link_local(Flags::default(), self.local)
    }

    /// Asks all servers, the preferred one at once.
    pub(super) fn begin_qualification(&mut self, now: Instant, reason: Option<Reason>) {
        self.outbox.clear();
        if self.servers.is_empty() {
            self.fail_qualification(now, Reason::NoServer);
            return;
        }
        let stagger = self.config.server_stagger;
        let keyring = &self.config.keyring;
        let inquiries = (0u32..)
            .zip(&self.servers)
            .map(|(position, &server)| Inquiry {
                server,
                primary: Ask::default(),
                secondary: Ask::default(),
                attempts: 0,
                secured: keyring.get(server.primary).is_some(),
                unauthenticated: false,
                due: Some(now + stagger * position),
            });
        let qualification = Qualification {
            inquiries: inquiries.collect(),
        };
        self.enter(Phase::Starting {
            qualification,
            reason,
        });
        self.drive_qualification(now);
    }

    /// Asks, repeats and gives up, as the clock has it; both addresses at once (R4380-5.2.1-01, R4380-5.2.1-03,
    /// R4380-5.2.1-10, R4380-5.2.1-15).
    pub(super) fn drive_qualification(&mut self, now: Instant) {
        let source = self.link_local();
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return;
        };
        for inquiry in &mut qualification.inquiries {
            if inquiry.due.is_none_or(|due| due > now) {
                continue;
            }
            if inquiry.attempts >= self.config.solicitation_attempts {
                inquiry.due = None;
                continue;
            }
            inquiry.attempts += 1;
            inquiry.due = Some(now + self.config.solicitation_timeout);
            let ServerAddress { primary, secondary } = inquiry.server;
            let credentials = self.config.keyring.get(primary);
            for (ask, to) in [
                (&mut inquiry.primary, primary),
                (&mut inquiry.secondary, secondary),
            ] {
                if ask.mapping.is_none() {
                    // R4380-5.2.2-03: each has a nonce of its own.
                    let nonce = rand_core::Rng::next_u64(&mut self.rng).to_be_bytes();
                    ask.nonce = Some(nonce);
                    self.outbox.udp(SocketAddrV4::new(to, PORT), |out| {
                        emit_solicitation(nonce, credentials, source, out)
                    });
                }
            }
        }
        self.fail_unless_asking(now);
    }

    /// Gives up when no server is left to be heard, as one of which the secondary address is silent is not
    /// (R4380-5.2.1-12).
    fn fail_unless_asking(&mut self, now: Instant) {
        let Phase::Starting { qualification, .. } = &self.phase else {
            return;
        };
        if qualification.next_deadline().is_some() {
            return;
        }
        let reason = qualification.failure();
        if matches!(reason, Reason::SymmetricNat { .. }) {
            self.nat = Nat::Symmetric;
        }
        self.fail_qualification(now, reason);
    }

    /// A router advertisement came in while the client qualifies. Without the nonce that was sent, or invalid, it
    /// changes nothing (R4380-5.2.2-01, R4380-5.2.2-02, R4380-5.2.1-07).
    pub(super) fn advertised(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let nonce = datagram
            .authentication
            .as_ref()
            .ok_or(DropReason::UnsolicitedAdvertisement)?
            .nonce;
        let source = self.link_local();
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        let (server, _) = qualification
            .ask_of(from, nonce)
            .ok_or(DropReason::UnsolicitedAdvertisement)?;
        if let Err(reason) = self.check_secret(server, datagram) {
            self.note_stranger(server);
            return Err(reason);
        }
        let mapped = check_advertisement(datagram, source, server)?;
        // R4380-4-03, R4380-GU-04, A-13: it would be an address that others send to.
        if !self.config.destinations.permits(mapped) {
            return Err(DropReason::InvalidAdvertisement);
        }
        self.note_confirmation(server, datagram);
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        if let Some((_, ask)) = qualification.ask_of(from, nonce) {
            // An answer answers once.
            ask.nonce = None;
            ask.mapping = Some(mapped);
        }
        self.conclude(now, server);
        Ok(())
    }

    /// Remembers, for the person who will ask why nothing came of it, that this server does not have the secret.
    fn note_stranger(&mut self, server: ServerAddress) {
        if let Phase::Starting { qualification, .. } = &mut self.phase {
            let mut inquiries = qualification.inquiries.iter_mut();
            if let Some(inquiry) = inquiries.find(|inquiry| inquiry.server == server) {
                inquiry.unauthenticated = true;
            }
        }
    }

    /// Both answers of a server tell the kind of NAT (R4380-5.2.1-11), and one alone tells nothing
    /// (R4380-5.2.1-12). Two mappings may also be the doing of that server, whose addresses are reached over different
    /// ways; the NAT counts as symmetric when no other server disagrees.
    fn conclude(&mut self, now: Instant, server: ServerAddress) {
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return;
        };
        let mut inquiries = qualification.inquiries.iter_mut();
        let Some(inquiry) = inquiries.find(|i| i.server == server) else {
            return;
        };
        let (Some(primary), Some(secondary)) = (inquiry.primary.mapping, inquiry.secondary.mapping)
        else {
            return;
        };
        if primary == secondary {
            self.nat = if primary == self.local {
                Nat::None
            } else {
                Nat::Restricted
            };
            self.qualified(now, server, primary);
        } else {
            inquiry.due = None;
            self.fail_unless_asking(now);
        }
    }

    fn qualified(&mut self, now: Instant, server: ServerAddress, mapped: SocketAddrV4) {
        self.failures = 0;
        if let Some(position) = self.servers.iter().position(|s| *s == server) {
            self.servers[..=position].rotate_right(1);
        }
        let address = self.bring_address_up(now, server, mapped);
        self.begin_service(now, server, address);
    }

    /// Off-line (R4380-5.2.1-05). Waits before the next try: 1 s, doubling to 5 min, less up to a quarter so
    /// that the clients of a server that comes back do not come all at once.
    fn fail_qualification(&mut self, now: Instant, reason: Reason) {
        let doubled = self
            .config
            .min_backoff
            .saturating_mul(1 << self.failures.min(20));
        let backoff = doubled.min(self.config.max_backoff);
        let jitter = (backoff / 4)
            .mul_f64(f64::from(rand_core::Rng::next_u32(&mut self.rng)) / f64::from(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.enter(Phase::Waiting {
            until: now + (backoff - jitter),
            reason,
        });
        self.take_address_down();
        self.forget_peers();
    }
}

/// The conditions of RFC 4380 §5.2.1 on an answer (R4380-5.2.1-06), and the mapping that it tells (R4380-5.2.1-08).
/// That it comes from the server that was asked, with the nonce that it was asked with, the caller has seen to.
pub(super) fn check_advertisement(
    datagram: &Datagram<'_>,
    solicited_from: Ipv6Addr,
    server: ServerAddress,
) -> Result<SocketAddrV4, DropReason> {
    let origin = datagram.origin.ok_or(DropReason::InvalidAdvertisement)?;
    let Ok(Icmpv6::RouterAdvertisement(advertisement)) = Icmpv6::parse(&datagram.packet) else {
        return Err(DropReason::InvalidIcmpv6);
    };
    let [prefix] = advertisement.prefixes.as_slice() else {
        return Err(DropReason::InvalidAdvertisement);
    };
    let expected = TeredoAddress {
        server: server.primary,
        flags: Flags::default(),
        mapped: origin.0,
    }
    .to_ipv6()
    .segments();
    let same_prefix = prefix.length == 64 && prefix.prefix.segments()[..4] == expected[..4];
    let link_local_source = datagram.packet.source().is_unicast_link_local();
    if same_prefix && link_local_source && datagram.packet.destination() == solicited_from {
        Ok(origin.0)
    } else {
        Err(DropReason::InvalidAdvertisement)
    }
}

impl Client {
    /// Whether an advertisement has the secret that this server was asked with (R4380-5.2.2-07). That it has the nonce, the caller
    /// has seen to.
    pub(super) fn check_secret(
        &self,
        server: ServerAddress,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let Some(Credentials { identifier, secret }) = self.config.keyring.get(server.primary)
        else {
            return Ok(());
        };
        let same = datagram
            .authentication
            .is_some_and(|element| element.identifier == identifier.as_bytes());
        if same && datagram.verify(secret) {
            Ok(())
        } else {
            Err(DropReason::Unauthenticated)
        }
    }

    /// What a server that has proven itself says of the key. The advertisement is good either way (R4380-5.2.2-06, A-03).
    pub(super) fn note_confirmation(&mut self, server: ServerAddress, datagram: &Datagram<'_>) {
        let server = server.primary;
        // Without a key, the byte is about nothing.
        if self.config.keyring.get(server).is_none() {
            return;
        }
        let valid = datagram
            .authentication
            .is_none_or(|element| element.confirmation == 0);
        let changed = if valid {
            self.retired_keys.remove(&server)
        } else {
            self.retired_keys.insert(server)
        };
        if changed {
            self.events.push_back(Event::KeyValidity { server, valid });
        }
    }
}

/// A router solicitation behind a nonce (R4380-5.2.2-01, R4380-5.2.2-04, R4380-7.2.1-01), with the confirmation byte 0
/// (R4380-5.2.2-05), and with the client's identifier and the keyed hash where it has a secret (R4380-5.2-02).
pub(super) fn emit_solicitation(
    nonce: [u8; 8],
    credentials: Option<&Credentials>,
    source: Ipv6Addr,
    out: &mut Vec<u8>,
) {
    let Some(Credentials { identifier, secret }) = credentials else {
        Authentication::nonce_only(nonce).emit(out);
        emit_router_solicitation(source, out);
        return;
    };
    let mut solicitation = Vec::with_capacity(48);
    emit_router_solicitation(source, &mut solicitation);
    Authentication {
        identifier: identifier.as_bytes(),
        value: &secret.sign(nonce, 0, &solicitation),
        nonce,
        confirmation: 0,
    }
    .emit(out);
    out.extend_from_slice(&solicitation);
}
