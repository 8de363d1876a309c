//! The node waits for the bucket and the perimeters, and hears how they are.

use std::net::SocketAddrV4;
use std::time::Duration;

use async_nats::connection::State;
use teredo_notify::hub::GateReport;
use teredo_notify::types::FLEET_BACKEND;
use tokio::time::Instant;

use super::{RETRY, Run};
use crate::confirm::ASK;
use crate::{HostKey, STATE};

/// How long the perimeters may take to confirm before that is a trouble: the deadline of the node's gates.
const DEADLINE: Duration = Duration::from_millis(250);

/// How often a perimeter that has not confirmed is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How often it is asked once the deadline is over.
const ASK_LATER: Duration = Duration::from_secs(1);

/// How often the perimeters are asked although they have confirmed,
pub(super) const CHECK: Duration = Duration::from_secs(20);

/// and how long one may be silent: two questions and their answers may be lost.
const SILENCE: Duration = Duration::from_secs(75);

/// A state that the node waits for.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) sequence: u64,
    /// The moment of the first entry with it; none: there is none yet.
    pub(super) time: Option<Duration>,
    pub(super) written: bool,
    pub(super) since: Instant,
    /// Where the host sends from, as that entry says.
    pub(super) local: Option<SocketAddrV4>,
    /// Since when all but a confirmation is there.
    pub(super) waiting_since: Option<Instant>,
}

impl Unsettled {
    /// Whether the perimeters have had the time to confirm it.
    fn is_late(&self) -> bool {
        self.waiting_since
            .is_some_and(|since| since.elapsed() >= DEADLINE)
    }
}

impl Run {
    /// Lets the node use its new port (N-16): the bucket has the entry, and every perimeter has confirmed it. Until then, does
    /// nothing.
    pub(super) async fn settle(&mut self) {
        let Some(Unsettled {
            sequence,
            time: Some(time),
            written: true,
            since,
            ref mut waiting_since,
            ..
        }) = self.unsettled
        else {
            return;
        };
        if !self.perimeters.missing(time).is_empty() {
            let now = Instant::now();
            waiting_since.get_or_insert(now);
            self.ask_at.get_or_insert(now + ASK_EVERY);
            return;
        }
        self.gate.settle(sequence).await;
        self.unsettled = None;
        self.ask_at = None;
        tracing::info!(
            sequence,
            micros = since.elapsed().as_micros(),
            "the fleet knows the port"
        );
        self.report(true).await;
    }

    /// Asks the perimeters that have not confirmed.
    pub(super) async fn ask(&mut self) {
        self.ask_at = None;
        let Some(unsettled) = &self.unsettled else {
            return;
        };
        let Some(time) = unsettled.time else {
            return;
        };
        if self.perimeters.missing(time).is_empty() {
            return;
        }
        let is_late = unsettled.is_late();
        self.ask_at = Some(Instant::now() + if is_late { ASK_LATER } else { ASK_EVERY });
        if is_late {
            self.report(false).await;
        }
        self.send_question().await;
    }

    /// Asks whether the perimeters still hold what they have confirmed: one may have died since.
    pub(super) async fn check(&mut self) {
        self.check_at = Instant::now() + CHECK.mul_f64(0.8 + 0.2 * fastrand::f64());
        if !self.perimeters.is_empty() {
            self.send_question().await;
        }
    }

    pub(super) async fn send_question(&self) {
        if self.client.connection_state() == State::Connected {
            // One that is lost is repeated.
            let _ = self
                .client
                .publish(format!("{ASK}.{}", self.config.host), Vec::new().into())
                .await;
        }
    }

    /// Tells the node how the fleet is: when that changes, or to say that this process works.
    pub(super) async fn report(&mut self, always: bool) {
        let port = self.state.map_or(0, |state| state.port);
        let late = self.unsettled.as_ref().filter(|state| state.is_late());
        let waiting = late.and_then(|unsettled| {
            let missing = self.perimeters.missing(unsettled.time?);
            match port {
                0 => told(&missing, "did not confirm that the port is closed"),
                port => told(&missing, &format!("did not confirm port {port}")),
            }
        });
        let silent = || {
            let now = std::time::Instant::now();
            let silent = self.perimeters.silent(self.connected, now, SILENCE);
            told(&silent, "confirmed the port, and does so no longer")
        };
        let trouble = self.trouble.clone().or(waiting).or_else(silent);
        let is_new = self.reported != trouble;
        let in_step = trouble.is_none() && self.unsettled.is_none() && self.state.is_some();
        self.status.send_if_modified(|status| {
            let changed = status.trouble != trouble || status.in_step != in_step;
            status.in_step = in_step;
            status.trouble.clone_from(&trouble);
            changed
        });
        if !is_new && !always {
            return;
        }
        let report = GateReport {
            trouble: trouble.clone(),
            protects: Vec::new(),
            backend: Some(FLEET_BACKEND.to_owned()),
            random_trouble: Some(String::from(
                "the perimeters of a fleet open no random ports",
            )),
            valid: self.lease().max(RETRY * 4),
        };
        if is_new && self.trouble.is_none() {
            match &trouble {
                Some(trouble) => {
                    tracing::warn!(target: STATE, trouble, "a perimeter does not have this port")
                }
                None => tracing::info!(port, "the bucket and the perimeters have the port"),
            }
        }
        self.gate.report(&report).await;
        self.reported = trouble;
    }
}

/// The names of perimeters, and their deed; none if there are none.
fn told(perimeters: &[&HostKey], deed: &str) -> Option<String> {
    let names: Vec<_> = perimeters.iter().map(|name| name.as_str()).collect();
    (!names.is_empty()).then(|| format!("{} {deed}", names.join(" and ")))
}
