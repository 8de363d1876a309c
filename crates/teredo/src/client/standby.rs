//! Another server for an eager client whose own one seems dead (RFC 4380 §5.2.5).
//!
//! ```text
//!                        the answer to a refresh            three round trips without an answer,
//!                        is overdue                         and another server has answered
//!  own server alone ─────────────────────────> both asked ───────────────────────────────────────> the other one's
//!         ^                                        │                                                address
//!         └────────────────────────────────────────┘
//!            the own server answers
//! ```
//!
//! A server that is left costs the host its address, so three solicitations in a row are lost before that, one of them not
//! older than the one that another server has answered: if the network was down for a moment, both are asked again. If no
//! other server answers, the network may be down: the client stays in service as long as one that is not eager, and goes on
//! asking.

use super::qualify::Qualification;
use super::{Client, Phase, Reason};
use crate::Instant;

impl Client {
    /// The answer of the server is overdue: asks the others as well.
    pub(super) fn begin_standby(&mut self, now: Instant) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        if !self.config.nat_traversal.is_eager() {
            return;
        }
        let own = service.server;
        let position = self.servers.iter().position(|server| *server == own);
        let (before, after) = self.servers.split_at(position.unwrap_or_default());
        let others = after.iter().chain(before).copied();
        let standby = self.inquire(now, others.filter(|server| *server != own));
        if let Phase::Qualified(service) = &mut self.phase {
            service.standby = Some(standby);
        }
        self.drive_standby(now);
    }

    /// Asks the other servers again if it is time for that.
    pub(super) fn drive_standby(&mut self, now: Instant) {
        let (source, pauses) = (self.link_local(), self.pauses());
        if let Phase::Qualified(service) = &mut self.phase
            && let Some(standby) = &mut service.standby
        {
            let keyring = &self.config.keyring;
            standby.ask(
                now,
                pauses,
                keyring,
                source,
                &mut self.rng,
                &mut self.outbox,
            );
        }
    }

    /// Goes on with another server that has answered, if the own one was silent for too long. The two mappings that it has
    /// seen are those of a qualification.
    ///
    /// DEVIATION(rfc4380 §5.2.5): an eager client leaves a server after three solicitations within three round trips and
    /// 40 ms. The RFC leaves their number and pace open (R4380-5.2.5-06).
    pub(super) fn leave_silent_server(&mut self, now: Instant) {
        let silence = self.refresh_pauses().silence(self.round_trip);
        let patience = self.refresh_pauses().patience(self.round_trip);
        let Phase::Qualified(service) = &mut self.phase else {
            return;
        };
        let is_silent = (service.asked_since()).is_some_and(|since| now - since >= silence);
        let answered = service.standby.as_ref().and_then(Qualification::answered);
        let Some((next, heard_us)) = answered.filter(|_| is_silent) else {
            return;
        };
        // Before that, the network may have been down, for both.
        let Some(asked) = service.asked_after(heard_us) else {
            service.ask_by(now);
            return;
        };
        if now < asked + patience {
            service.ask_by(asked + patience);
            return;
        }
        let lost = service.server;
        let Some(standby) = service.standby.take() else {
            return;
        };
        self.put_last(lost);
        self.enter(Phase::Starting {
            qualification: standby,
            reason: Some(Reason::ServerLost(lost.primary)),
        });
        self.conclude(now, next);
    }
}
