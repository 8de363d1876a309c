//! The samples of a firewall agent.

use std::time::{Duration, Instant};

use teredo_firewall::AgentStatus;
use tokio::sync::watch;

use super::catalogue as metric;
use super::endpoint::Source;
use super::exposition::Exposition;

/// Everything that the metrics of an agent are made of.
#[derive(Clone, Debug)]
pub(crate) struct AgentSource {
    pub(crate) status: watch::Receiver<AgentStatus>,
    pub(crate) started: Instant,
    /// The length of a lease.
    pub(crate) lease: Duration,
}

impl AgentSource {
    /// The source of an [`Endpoint`](super::Endpoint).
    pub(crate) fn source(self) -> Source {
        Box::new(move || {
            let text = self.exposition(Instant::now()).into_text();
            Box::pin(std::future::ready(text))
        })
    }

    pub(super) fn exposition(&self, now: Instant) -> Exposition {
        let status = self.status.borrow().clone();
        let since = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
        let mut text = Exposition::default();
        text.info(&metric::BUILD, ["firewall", env!("CARGO_PKG_VERSION")]);
        text.one(&metric::UPTIME, since(self.started));
        text.one(&metric::FW_IN_STEP, status.in_step);
        text.one(&metric::FW_TROUBLE, status.trouble.is_some());
        text.one(&metric::FW_PORT, u64::from(status.port));
        text.one(&metric::FW_LEASES, status.leases as u64);
        text.one(&metric::FW_LEASE, self.lease.as_secs_f64());
        if let Some(confirmed) = status.confirmed_at {
            text.one(&metric::FW_CONFIRMED, since(confirmed));
        }
        text.one(&metric::FW_SWAPS, status.swaps);
        if let Some(took) = status.last_swap {
            text.one(&metric::FW_SYNC, took.as_secs_f64());
        }
        let resyncs = status.resyncs;
        text.each(
            &metric::FW_RESYNCS,
            [
                ("start", resyncs.start),
                ("flush", resyncs.flush),
                ("enobufs", resyncs.enobufs),
            ],
        );
        text.one(&metric::FW_REFUSALS, status.refusals);
        text.one(&metric::FW_RANDOM_REFUSALS, status.random_refusals);
        text
    }
}

#[cfg(test)]
mod tests;
