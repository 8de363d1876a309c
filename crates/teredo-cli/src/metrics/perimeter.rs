//! The samples of a firewall at the perimeter of a fleet.

use std::time::Instant;

use teredo_fleet::{PerimeterStatus, Refusal};
use tokio::sync::watch;

use super::catalogue as metric;
use super::endpoint::Source;
use super::exposition::Exposition;

/// The source of an [`Endpoint`](super::Endpoint).
pub(crate) fn perimeter_source(
    status: watch::Receiver<PerimeterStatus>,
    started: Instant,
) -> Source {
    Box::new(move || {
        let text = exposition(&status.borrow(), started, Instant::now()).into_text();
        Box::pin(std::future::ready(text))
    })
}

fn exposition(status: &PerimeterStatus, started: Instant, now: Instant) -> Exposition {
    let mut text = Exposition::default();
    text.info(&metric::BUILD, ["perimeter", env!("CARGO_PKG_VERSION")]);
    let uptime = now.saturating_duration_since(started);
    text.one(&metric::UPTIME, uptime.as_secs_f64());
    text.one(&metric::FLEET_FOLLOWING, status.is_following);
    text.one(&metric::FLEET_IN_STEP, status.in_step);
    text.one(&metric::FLEET_TROUBLE, status.trouble.is_some());
    text.one(&metric::FLEET_HOSTS, status.hosts as u64);
    text.one(&metric::FLEET_ENDPOINTS, status.endpoints as u64);
    if let Some(lease) = status.lease {
        text.one(&metric::FLEET_LEASE, lease.as_secs_f64());
    }
    text.one(&metric::FLEET_REPAIRS, status.repairs);
    text.one(&metric::FLEET_REFUSALS, status.refusals);
    let count = |reason| status.refused.get(reason).copied().unwrap_or_default();
    text.each(
        &metric::FLEET_REFUSED,
        Refusal::NAMES.map(|reason| (reason, count(reason))),
    );
    text
}
