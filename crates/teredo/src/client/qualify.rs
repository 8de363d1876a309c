//! Qualification (RFC 4380 §5.2.1) without the cone phase (RFC 5991 §3.2).
//!
//! The client asks the primary and the secondary address at the same time, so one round trip yields the mapping and
//! reveals a symmetric NAT. With several servers, each joins a delay after the one before. The first to answer from
//! both addresses wins, and is asked first the next time. So the best server stays, and a dead one costs a second
//! (R4380-MS-02).
//!
//! DEVIATION(rfc4380 §5.2.1): both addresses of a server are asked at once, and several servers race. This takes one
//! round trip instead of two, and a dead server costs a second instead of half a minute. Neither changes the meaning of
//! an answer, and a server cannot tell the difference (R4380-5.2.1-10).
//!
//! A server with [`Credentials`] is asked with identifier and keyed hash, and must answer with a keyed hash (§5.2.2).
//! Any other server must repeat the nonce. Only this exchange is protected: bubbles and data carry no authentication
//! (R4380-5.2.2-10).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::round_trip::{Pauses, RoundTrip};
use super::{Client, Event, Nat, Phase, Reason, ServerAddress};
use crate::outbox::Outbox;
use crate::wire::{
    Authentication, Datagram, Flags, Icmpv6, PORT, TeredoAddress, emit_router_solicitation,
    link_local,
};
use crate::{Credentials, DropReason, Instant, Keyring};

/// How often the changes of the network repeat the solicitations of one qualification to a server.
const MAX_HURRIED: u32 = 8;

/// Asks all servers until one has answered from both addresses or all have failed.
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
    /// When it was asked first.
    since: Option<Instant>,
    attempts: u32,
    round_trip: RoundTrip,
    /// When the last solicitation that it has answered was sent.
    heard_us: Option<Instant>,
    /// How often it was asked out of turn, because the network changed.
    hurried: u32,
    /// The primary address that the server names in its prefix, if it is not the one that was asked.
    other_primary: Option<Ipv4Addr>,
    /// Whether a secret is used.
    secured: bool,
    /// Whether an answer had the nonce but not the secret.
    unauthenticated: bool,
    /// When to ask first, to repeat, or to give up; `None` once given up.
    due: Option<Instant>,
}

impl Inquiry {
    fn new(server: ServerAddress, due: Instant, secured: bool, round_trip: RoundTrip) -> Self {
        Self {
            server,
            primary: Ask::default(),
            secondary: Ask::default(),
            since: None,
            attempts: 0,
            round_trip,
            heard_us: None,
            hurried: 0,
            other_primary: None,
            secured,
            unauthenticated: false,
            due: Some(due),
        }
    }

    /// Asks the addresses that have not answered.
    fn solicit(
        &mut self,
        now: Instant,
        rng: &mut impl rand_core::Rng,
        outbox: &mut Outbox,
        credentials: Option<&Credentials>,
        source: Ipv6Addr,
    ) {
        let ServerAddress { primary, secondary } = self.server;
        for (ask, to) in [
            (&mut self.primary, primary),
            (&mut self.secondary, secondary),
        ] {
            if ask.mapping.is_none() {
                let nonce = ask.nonces.draw(now, rng);
                outbox.udp(SocketAddrV4::new(to, PORT), |out| {
                    emit_solicitation(nonce, credentials, source, out)
                });
            }
        }
    }

    fn unanswered(&self) -> usize {
        let asks = [&self.primary, &self.secondary];
        asks.iter().filter(|ask| ask.mapping.is_none()).count()
    }

    fn failure(&self) -> Reason {
        let asked = self.server.primary;
        if let (None, Some(primary)) = (self.primary.mapping, self.other_primary) {
            return Reason::NotPrimary { asked, primary };
        }
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

/// The solicitations to one address of a server.
#[derive(Debug, Default)]
struct Ask {
    nonces: Nonces,
    mapping: Option<SocketAddrV4>,
}

/// The nonces of the last solicitations to one address. The answer to an earlier one counts as well, since a path may
/// take longer than the pause between two of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nonces {
    /// The last one first.
    drawn: [Option<[u8; 8]>; 4],
    /// When each was sent.
    sent: [Instant; 4],
}

impl Nonces {
    /// A fresh one (R4380-5.2.2-03).
    pub(super) fn draw(&mut self, now: Instant, rng: &mut impl rand_core::Rng) -> [u8; 8] {
        let nonce = rng.next_u64().to_be_bytes();
        self.drawn.rotate_right(1);
        self.sent.rotate_right(1);
        (self.drawn[0], self.sent[0]) = (Some(nonce), now);
        nonce
    }

    pub(super) fn contain(&self, nonce: [u8; 8]) -> bool {
        self.sent(nonce).is_some()
    }

    /// When the first of the last ones since then was drawn.
    pub(super) fn first_since(&self, since: Instant) -> Option<Instant> {
        let drawn = self.drawn.iter().zip(self.sent);
        let drawn = drawn.filter_map(|(drawn, at)| drawn.map(|_| at));
        drawn.filter(|at| *at >= since).min()
    }

    /// When the solicitation with this nonce was sent.
    pub(super) fn sent(&self, nonce: [u8; 8]) -> Option<Instant> {
        let mut drawn = self.drawn.iter().zip(self.sent);
        drawn.find_map(|(drawn, at)| (*drawn == Some(nonce)).then_some(at))
    }
}

impl Qualification {
    /// Asks, repeats and gives up as time passes, both addresses at once (R4380-5.2.1-01, R4380-5.2.1-03,
    /// R4380-5.2.1-10, R4380-5.2.1-15).
    pub(super) fn ask(
        &mut self,
        now: Instant,
        pauses: Pauses,
        keyring: &Keyring,
        source: Ipv6Addr,
        rng: &mut impl rand_core::Rng,
        outbox: &mut Outbox,
    ) {
        for inquiry in &mut self.inquiries {
            if inquiry.due.is_none_or(|due| due > now) {
                continue;
            }
            let since = *inquiry.since.get_or_insert(now);
            if pauses.are_over(now, since, inquiry.attempts) {
                inquiry.due = None;
                continue;
            }
            inquiry.attempts += 1;
            inquiry.due = Some(pauses.next(now, since, inquiry.attempts, inquiry.round_trip));
            let credentials = keyring.get(inquiry.server.primary);
            inquiry.solicit(now, rng, outbox, credentials, source);
        }
    }

    /// The first server that has answered from both addresses, and when the last solicitation that it has answered was sent.
    pub(super) fn answered(&self) -> Option<(ServerAddress, Instant)> {
        let mut inquiries = self.inquiries.iter();
        let answered = inquiries.find(|inquiry| inquiry.unanswered() == 0)?;
        Some((answered.server, answered.heard_us?))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.inquiries
            .iter()
            .filter_map(|inquiry| inquiry.due)
            .min()
    }

    /// The solicitation that a datagram from `from` may answer.
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
            ask.nonces.contain(nonce).then_some((server, ask))
        })
    }

    /// The first server that sees two mappings (R6081-5.3.3-06), that of its primary address first (R6081-5.2-01), once no
    /// other server is likely to disagree: each has answered, was given up, or was silent for one timeout.
    fn symmetric(&self, pauses: Pauses) -> Option<(ServerAddress, SocketAddrV4, SocketAddrV4)> {
        let is_open =
            |inquiry: &Inquiry| inquiry.due.is_some() && !pauses.suggest_silence(inquiry.attempts);
        let mut inquiries = self.inquiries.iter();
        let seen = inquiries.find_map(|inquiry| {
            let mapped = inquiry.primary.mapping?;
            let other = inquiry.secondary.mapping?;
            (mapped != other).then_some((inquiry.server, mapped, other))
        });
        seen.filter(|_| !self.inquiries.iter().any(is_open))
    }

    /// Takes in the mapping that an address of a server has seen. The nonce is the one of its solicitation.
    fn note(&mut self, now: Instant, from: SocketAddrV4, nonce: [u8; 8], mapped: SocketAddrV4) {
        let Some((server, ask)) = self.ask_of(from, nonce) else {
            return;
        };
        let sent = ask.nonces.sent(nonce);
        // A nonce is good for one answer.
        ask.nonces = Nonces::default();
        ask.mapping = Some(mapped);
        let mut inquiries = self.inquiries.iter_mut();
        if let Some(inquiry) = inquiries.find(|inquiry| inquiry.server == server)
            && let Some(sent) = sent
        {
            inquiry.round_trip.measure(now - sent);
            inquiry.heard_us = Some(sent);
        }
    }

    fn round_trip_to(&self, server: ServerAddress) -> RoundTrip {
        let mut inquiries = self.inquiries.iter();
        let inquiry = inquiries.find(|inquiry| inquiry.server == server);
        inquiry
            .map(|inquiry| inquiry.round_trip)
            .unwrap_or_default()
    }

    /// Why the qualification failed: the open point of the server that answered most, the first of several.
    fn failure(&self) -> Reason {
        self.inquiries
            .iter()
            .min_by_key(|inquiry| inquiry.unanswered())
            .map_or(Reason::NoServer, Inquiry::failure)
    }
}

impl Client {
    /// The source of the client's solicitations: the link-local address of RFC 4380 §4, cone bit clear (R4380-5.2.1-01,
    /// R5991-3.2-01, R6169-5.2-01).
    pub(super) fn link_local(&self) -> Ipv6Addr {
        link_local(Flags::default(), self.local)
    }

    /// The address of a server to which nothing may be sent. A name that is blocked resolves to one, such as 0.0.0.0,
    /// and the address after it is no better (R4380-GU-04).
    pub(super) fn refused_address(&self, server: ServerAddress) -> Option<Ipv4Addr> {
        let policy = &self.config.destinations;
        let mut addresses = [server.primary, server.secondary].into_iter();
        addresses.find(|&address| !policy.permits_address(address))
    }

    /// Asks all servers that may be sent to, the preferred one at once.
    pub(super) fn begin_qualification(&mut self, now: Instant, reason: Option<Reason>) {
        self.outbox.clear();
        let qualification = self.inquire(now, self.servers.iter().copied());
        if qualification.inquiries.is_empty() {
            let first = self.servers.first();
            let refused = first.and_then(|&server| self.refused_address(server));
            let reason = match refused {
                None => Reason::NoServer,
                Some(address) if self.config.destinations.denies(address) => {
                    Reason::ServerDenied(address)
                }
                Some(address) => Reason::ServerRefused(address),
            };
            self.fail_qualification(now, reason);
            return;
        }
        self.enter(Phase::Starting {
            qualification,
            reason,
        });
        self.drive_qualification(now);
    }

    /// The servers that may be sent to, each to be asked a while after the one before.
    pub(super) fn inquire(
        &self,
        now: Instant,
        servers: impl Iterator<Item = ServerAddress>,
    ) -> Qualification {
        let permitted = |server: &ServerAddress| self.refused_address(*server).is_none();
        let stagger = self.config.server_stagger;
        let inquiries = (0u32..)
            .zip(servers.filter(permitted))
            .map(|(position, server)| {
                let secured = self.config.keyring.get(server.primary).is_some();
                let measured = self.measured(server);
                Inquiry::new(server, now + stagger * position, secured, measured)
            });
        Qualification {
            inquiries: inquiries.collect(),
        }
    }

    /// Asks the servers that are due, and gives up when all have failed.
    pub(super) fn drive_qualification(&mut self, now: Instant) {
        let (source, pauses) = (self.link_local(), self.pauses());
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return;
        };
        let keyring = &self.config.keyring;
        qualification.ask(
            now,
            pauses,
            keyring,
            source,
            &mut self.rng,
            &mut self.outbox,
        );
        self.fail_unless_asking(now);
    }

    /// Repeats the solicitations under way at once: the network changed, and may have lost them. Their number and the
    /// time of the verdict stay, so that a dead server is given up however often the network changes.
    pub(super) fn hurry_qualification(&mut self, now: Instant) {
        let source = self.link_local();
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return;
        };
        for inquiry in &mut qualification.inquiries {
            let under_way = inquiry.attempts > 0 && inquiry.due.is_some();
            if under_way && inquiry.hurried < MAX_HURRIED {
                inquiry.hurried += 1;
                let credentials = self.config.keyring.get(inquiry.server.primary);
                inquiry.solicit(now, &mut self.rng, &mut self.outbox, credentials, source);
            }
        }
    }

    /// Gives up when no server can still succeed. A server with a silent secondary address cannot (R4380-5.2.1-12).
    fn fail_unless_asking(&mut self, now: Instant) {
        let pauses = self.pauses();
        let Phase::Starting { qualification, .. } = &self.phase else {
            return;
        };
        if self.config.nat_traversal.extends_rfc4380()
            && let Some((server, mapped, other)) = qualification.symmetric(pauses)
            // The policy may be another one by now (R4380-GU-04).
            && self.config.destinations.permits(mapped)
        {
            self.nat = Nat::Symmetric;
            self.seen_by_secondary = Some(other);
            return self.qualified(now, server, mapped);
        }
        if qualification.next_deadline().is_some() {
            return;
        }
        let reason = qualification.failure();
        if matches!(reason, Reason::SymmetricNat { .. }) {
            self.nat = Nat::Symmetric;
        }
        self.fail_qualification(now, reason);
    }

    /// Takes in a router advertisement during qualification. An invalid one, or one without the nonce that was sent,
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
        let (server, _) = (self.qualification())
            .and_then(|qualification| qualification.ask_of(from, nonce))
            .ok_or(DropReason::UnsolicitedAdvertisement)?;
        if let Err(reason) = self.check_secret(server, datagram) {
            self.note_unauthenticated(server);
            return Err(reason);
        }
        let advertised = check_advertisement(datagram, source)?;
        if advertised.server != server.primary {
            self.note_other_primary(server, advertised.server);
            return Err(DropReason::InvalidAdvertisement);
        }
        let mapped = advertised.mapped;
        // R4380-4-03, R4380-GU-04, A-13: others would send to this mapping.
        if !self.config.destinations.permits(mapped) {
            return Err(DropReason::InvalidAdvertisement);
        }
        self.note_confirmation(server, datagram);
        if let Some(qualification) = self.qualification() {
            qualification.note(now, from, nonce, mapped);
        }
        self.conclude(now, server);
        Ok(())
    }

    /// The servers that are asked for both mappings: in a qualification, or in service instead of one that seems dead.
    fn qualification(&mut self) -> Option<&mut Qualification> {
        match &mut self.phase {
            Phase::Starting { qualification, .. } => Some(qualification),
            Phase::Qualified(service) => service.standby.as_mut(),
            Phase::Stopped | Phase::Dormant { .. } | Phase::Waiting { .. } => None,
        }
    }

    /// Records, for the reason of a failure, that this server does not have the secret.
    fn note_unauthenticated(&mut self, server: ServerAddress) {
        if let Some(qualification) = self.qualification() {
            let mut inquiries = qualification.inquiries.iter_mut();
            if let Some(inquiry) = inquiries.find(|inquiry| inquiry.server == server) {
                inquiry.unauthenticated = true;
            }
        }
    }

    /// Records, for the reason of a failure, that the server calls itself by another address: it was named by its
    /// secondary one.
    fn note_other_primary(&mut self, server: ServerAddress, primary: Ipv4Addr) {
        if let Some(qualification) = self.qualification() {
            let mut inquiries = qualification.inquiries.iter_mut();
            if let Some(inquiry) = inquiries.find(|inquiry| inquiry.server == server) {
                inquiry.other_primary = Some(primary);
            }
        }
    }

    /// Two answers of a server reveal the kind of NAT (R4380-5.2.1-11), one alone does not (R4380-5.2.1-12). Different
    /// mappings may also result from different routes to the two addresses of the server, so the NAT counts as
    /// symmetric only if no other server disagrees.
    pub(super) fn conclude(&mut self, now: Instant, server: ServerAddress) {
        let Phase::Starting { qualification, .. } = &mut self.phase else {
            return self.leave_silent_server(now);
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
            self.seen_by_secondary = None;
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
        if let Phase::Starting { qualification, .. } = &self.phase {
            let measured = qualification.round_trip_to(server);
            self.note_round_trip(server, measured);
        }
        if let Some(position) = self.servers.iter().position(|s| *s == server) {
            self.servers[..=position].rotate_right(1);
        }
        let address = self.bring_address_up(now, server, mapped);
        self.begin_service(now, server, address, now);
    }

    /// Ends the wait that began at `since`, because the network changed: at once, or after the shortest wait.
    pub(super) fn retry_soon(&mut self, now: Instant, since: Instant) {
        let soon = since + self.config.min_backoff;
        match &mut self.phase {
            Phase::Waiting { until, .. } if now < soon => *until = soon.min(*until),
            _ => self.begin_qualification(now, self.lasting_reason()),
        }
    }

    /// Goes off-line (R4380-5.2.1-05) and waits before the next try: 1 s, doubling to 5 min, minus a random part
    /// of up to a quarter, so that the clients of a recovered server do not all return at once.
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
            since: now,
            until: now + (backoff - jitter),
            reason,
        });
        self.take_address_down();
        self.forget_peers();
    }
}

/// An answer: the primary address that the server has put into the prefix, and the mapping.
pub(super) struct Advertised {
    pub(super) server: Ipv4Addr,
    pub(super) mapped: SocketAddrV4,
}

/// Checks the conditions of RFC 4380 §5.2.1 on an answer (R4380-5.2.1-06), and returns the mapping (R4380-5.2.1-08).
/// The caller has checked the nonce, and checks the server.
pub(super) fn check_advertisement(
    datagram: &Datagram<'_>,
    solicited_from: Ipv6Addr,
) -> Result<Advertised, DropReason> {
    let origin = datagram.origin.ok_or(DropReason::InvalidAdvertisement)?;
    let Ok(Icmpv6::RouterAdvertisement(advertisement)) = Icmpv6::parse(&datagram.packet) else {
        return Err(DropReason::InvalidIcmpv6);
    };
    let [prefix] = advertisement.prefixes.as_slice() else {
        return Err(DropReason::InvalidAdvertisement);
    };
    let server = TeredoAddress::from_ipv6(prefix.prefix)
        .filter(|_| prefix.length == 64)
        .ok_or(DropReason::InvalidAdvertisement)?
        .server;
    let link_local_source = datagram.packet.source().is_unicast_link_local();
    if link_local_source && datagram.packet.destination() == solicited_from {
        let mapped = origin.0;
        Ok(Advertised { server, mapped })
    } else {
        Err(DropReason::InvalidAdvertisement)
    }
}

impl Client {
    /// Checks the secret of an advertisement if the server was asked with one (R4380-5.2.2-07). The caller has checked
    /// the nonce.
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

    /// Records what an authenticated server says of the key. The advertisement is good either way (R4380-5.2.2-06,
    ///
    pub(super) fn note_confirmation(&mut self, server: ServerAddress, datagram: &Datagram<'_>) {
        let server = server.primary;
        // Without a key, the byte has no meaning.
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
/// (R4380-5.2.2-05), and with the client's identifier and keyed hash if there is a secret (R4380-5.2-02).
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
