//! Maintenance (RFC 4380 §5.2.5): the client keeps its mapping alive, and notices when it is gone.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::qualify::{Nonces, Qualification, check_advertisement, emit_solicitation};
use super::round_trip::Pauses;
use super::{Client, Phase, Reason, ServerAddress};
use crate::wire::{Datagram, PORT, TeredoAddress};
use crate::{DropReason, Instant, Timer};

/// A client in service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) server: ServerAddress,
    pub(super) address: TeredoAddress,
    /// `address` in its IPv6 form.
    pub(super) ipv6: Ipv6Addr,
    /// The source of this service's solicitations.
    link_local: Ipv6Addr,
    refresh: Refresh,
    /// When a datagram last went to the server.
    pub(super) spoken: Instant,
    /// The other servers, once this one's answer is overdue.
    pub(super) standby: Option<Qualification>,
}

#[derive(Debug)]
enum Refresh {
    /// Nothing is due until then, unless the server is heard before.
    Idle { at: Instant },
    /// Solicitations are under way.
    Soliciting {
        nonces: Nonces,
        attempts: u32,
        /// When the first one was sent.
        since: Instant,
        due: Instant,
    },
}

impl Service {
    pub(super) fn next_deadline(&self) -> (Instant, Timer) {
        let own = match self.refresh {
            Refresh::Idle { at } => (at, Timer::Refresh),
            Refresh::Soliciting { due, .. } => (due, Timer::Solicitation),
        };
        let standby = self.standby.as_ref();
        let others = standby.and_then(Qualification::next_deadline);
        let others = others.map(|at| (at, Timer::Solicitation));
        others.map_or(own, |others| others.min(own))
    }

    /// When the first of the solicitations under way was sent.
    pub(super) fn asked_since(&self) -> Option<Instant> {
        match self.refresh {
            Refresh::Idle { .. } => None,
            Refresh::Soliciting { since, .. } => Some(since),
        }
    }

    /// When the first of the solicitations since then was sent.
    pub(super) fn asked_after(&self, then: Instant) -> Option<Instant> {
        match &self.refresh {
            Refresh::Idle { .. } => None,
            Refresh::Soliciting { nonces, .. } => nonces.first_since(then),
        }
    }

    /// Solicitations are under way: the next one is due by then.
    pub(super) fn ask_by(&mut self, at: Instant) {
        if let Refresh::Soliciting { due, .. } = &mut self.refresh {
            *due = at.min(*due);
        }
    }

    pub(super) fn server_socket(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.server.primary, PORT)
    }
}

impl Client {
    pub(super) fn begin_service(
        &mut self,
        now: Instant,
        server: ServerAddress,
        address: TeredoAddress,
        spoken: Instant,
    ) {
        let interval = self.determination.refresh;
        let refresh = Refresh::Idle {
            at: (now + self.randomised_refresh()).min(spoken + interval),
        };
        let link_local = self.link_local();
        self.enter(Phase::Qualified(Service {
            server,
            address,
            ipv6: address.to_ipv6(),
            link_local,
            refresh,
            spoken,
            standby: None,
        }));
    }

    /// The server was heard: the next refresh is due a randomised interval from now (R4380-5.2.3-04, R4380-5.2.5-01),
    /// or earlier (R6081-5.1.1-03).
    ///
    /// DEVIATION(rfc4380 §5.2.5): the client sends to the server once in a refresh interval, however often it hears
    /// from it, as RFC 6081 §5.1.1 allows. Only outbound traffic is sure to keep a mapping alive (RFC 4787 REQ-6).
    /// Otherwise the NAT would close to a server that is often heard and never sent to, and to all bubbles that peers
    /// send through it.
    pub(super) fn heard_server(&mut self, now: Instant) {
        let at = now + self.randomised_refresh();
        let interval = self.determination.refresh;
        if let Phase::Qualified(Service {
            refresh: Refresh::Idle { at: due },
            spoken,
            ..
        }) = &mut self.phase
        {
            *due = at.min(*spoken + interval);
        }
    }

    /// The refresh interval may have become shorter.
    pub(super) fn bring_refresh_forward(&mut self) {
        let interval = self.determination.refresh;
        if let Phase::Qualified(Service {
            refresh: Refresh::Idle { at },
            spoken,
            ..
        }) = &mut self.phase
        {
            *at = (*spoken + interval).min(*at);
        }
    }

    /// Asks the server now whether the mapping still exists, unless it is being asked. The attempts count on, so that a
    /// dead server is given up however often the network changes.
    pub(super) fn solicit_refresh(&mut self, now: Instant) {
        if let Phase::Qualified(service) = &mut self.phase
            && let Refresh::Idle { at } = &mut service.refresh
        {
            *at = now;
        }
        self.drive_maintenance(now);
    }

    /// How long a solicitation waits for its answer while the client is in service.
    ///
    /// DEVIATION(rfc4380 §5.2.5): a client with a refresh interval below 24 s repeats a refresh after a sixth of the
    /// interval instead of 4 s, and so gives a dead server up after one and a half intervals. The RFC leaves the number
    /// and the pace of these solicitations open (R4380-5.2.5-06).
    fn refresh_timeout(&self) -> Duration {
        let sixth = self.determination.refresh / 6;
        self.config.solicitation_timeout.min(sixth)
    }

    pub(super) fn refresh_pauses(&self) -> Pauses {
        self.pauses_of(self.refresh_timeout())
    }

    /// Asks this server after all that follow it from now on.
    pub(super) fn put_last(&mut self, server: ServerAddress) {
        if let Some(position) = self.servers.iter().position(|s| *s == server) {
            self.servers[position..].rotate_left(1);
        }
    }

    /// Solicits if the server was silent for an interval, repeats, and qualifies again if there is no answer
    /// (R4380-5.2.5-01, R4380-5.2.5-02, R4380-5.2.5-06, A-02).
    pub(super) fn drive_maintenance(&mut self, now: Instant) {
        let pauses = self.refresh_pauses();
        self.drive_standby(now);
        let measured = self.round_trip;
        let Phase::Qualified(service) = &mut self.phase else {
            return;
        };
        let (attempts, mut nonces, since) = match service.refresh {
            Refresh::Idle { at } if at > now => return,
            Refresh::Soliciting { due, .. } if due > now => return,
            Refresh::Idle { .. } => (0, Nonces::default(), now),
            Refresh::Soliciting {
                attempts,
                nonces,
                since,
                ..
            } => (attempts, nonces, since),
        };
        if pauses.are_over(now, since, attempts) {
            let server = service.server;
            // The next server goes first, if there is one.
            self.put_last(server);
            self.begin_qualification(now, Some(Reason::ServerLost(server.primary)));
            return;
        }
        service.spoken = now;
        let nonce = nonces.draw(now, &mut self.rng);
        service.refresh = Refresh::Soliciting {
            nonces,
            attempts: attempts + 1,
            since,
            due: pauses.next_refresh(now, since, attempts + 1, measured),
        };
        let (to, source) = (service.server_socket(), service.link_local);
        let credentials = self.config.keyring.get(*to.ip());
        self.outbox
            .udp(to, |out| emit_solicitation(nonce, credentials, source, out));
        if attempts == 1 {
            self.begin_standby(now);
        }
        self.leave_silent_server(now);
    }

    /// A router advertisement came in while the client is in service (R4380-5.2.5-03, R4380-5.2.5-04).
    pub(super) fn refreshed(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let received = datagram
            .authentication
            .as_ref()
            .ok_or(DropReason::UnsolicitedAdvertisement)?
            .nonce;
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        let sent = match service.refresh {
            Refresh::Soliciting { nonces, .. } if from == service.server_socket() => {
                nonces.sent(received)
            }
            _ => None,
        };
        let sent = sent.ok_or(DropReason::UnsolicitedAdvertisement)?;
        let (server, spoken) = (service.server, service.spoken);
        self.check_secret(server, datagram)?;
        let advertised = check_advertisement(datagram, service.link_local)?;
        let mapped = advertised.mapped;
        if advertised.server != server.primary || !self.config.destinations.permits(mapped) {
            return Err(DropReason::InvalidAdvertisement);
        }
        let mut measured = self.measured(server);
        measured.measure(now - sent);
        self.note_round_trip(server, measured);
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::UnsolicitedAdvertisement);
        };
        let changed = mapped != service.address.mapped;
        let same_nat = mapped.ip() == service.address.mapped.ip();
        self.note_confirmation(server, datagram);
        if changed && same_nat {
            self.note_lost_mapping();
        }
        // A changed mapping makes a new address; the old one is invalid at once (R4380-5.2.5-05).
        let address = self.bring_address_up(now, server, mapped);
        if changed {
            // DEVIATION(rfc4380 §5.2.5): a new mapping is used once both addresses of the server have confirmed it. The
            // host may be behind another NAT now, and one address cannot reveal a symmetric NAT (R4380-5.2.5-05).
            self.begin_qualification(now, Some(Reason::MappingChanged(mapped)));
        } else {
            self.begin_service(now, server, address, spoken);
        }
        Ok(())
    }
}
