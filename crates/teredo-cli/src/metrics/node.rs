//! The samples of a client's, a relay's or a server's status.

use std::collections::BTreeMap;

use teredo::DropReason;
use teredo_notify::service::{Control, StatusReader};
use teredo_notify::types::{Carrier, Lane, Phase, Role, Status};

use super::catalogue as metric;
use super::endpoint::Source;
use super::exposition::Exposition;

/// The most names of a map in a status, which may come from a daemon of another version.
const MAX_NAMES: usize = 256;

/// The metrics of a status, as text in the OpenMetrics format.
pub(crate) fn of_status(status: &Status) -> String {
    exposition(status).into_text()
}

/// The source of an [`Endpoint`](super::Endpoint): the status of the local service.
pub(crate) fn node_source(status: StatusReader) -> Source {
    Box::new(move || {
        let status = status.clone();
        Box::pin(async move { of_status(&status.read().await) })
    })
}

/// The same of a server, which has no port to tell of, and may have no service.
pub(crate) fn control_source(control: impl Control + Clone) -> Source {
    Box::new(move || {
        let control = control.clone();
        Box::pin(async move { of_status(&control.status().await) })
    })
}

pub(super) fn exposition(status: &Status) -> Exposition {
    let mut text = Exposition::default();
    text.info(&metric::BUILD, [role(status.role), &status.version]);
    text.one(&metric::UPTIME, milliseconds(status.uptime_ms));
    text.each(&metric::STATE, states(status.state));
    text.one(&metric::PROBLEMS, status.problems.len() as u64);
    text.one(&metric::LIMITED, status.reason.is_some());
    if status.role != Role::Server {
        port(status, &mut text);
        peers(status, &mut text);
    }
    traffic(status, &mut text);
    match status.role {
        Role::Server => server(status, &mut text),
        _ => gates(status, &mut text),
    }
    text
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Relay => "relay",
        Role::Unknown => "unknown",
    }
}

fn states(current: Phase) -> impl Iterator<Item = (&'static str, bool)> {
    let all = [
        Phase::Offline,
        Phase::Probe,
        Phase::Dormant,
        Phase::Qualified,
    ];
    all.into_iter()
        .map(move |state| (state.name(), state == current))
}

fn port(status: &Status, text: &mut Exposition) {
    if let Some(protected) = status.protected {
        text.one(&metric::PROTECTED, protected);
    }
    text.one(&metric::LOCAL_PORT, u64::from(status.port));
    if status.role == Role::Client {
        let mapped = status.mapped.map_or(0, |mapped| mapped.port());
        text.one(&metric::MAPPED_PORT, u64::from(mapped));
        text.one(&metric::RANDOM_PORTS, status.random_ports);
        text.one(&metric::PORT_BLOCKS, status.port_blocks);
        text.one(&metric::BUBBLE_BURSTS, status.bubble_bursts);
    }
    text.one(&metric::PORT_SEQUENCE, status.sequence);
    let changes = status.notifications.changes;
    text.each(
        &metric::PORT_CHANGES,
        [
            ("add", changes.add),
            ("change", changes.change),
            ("delete", changes.delete),
        ],
    );
    if let Some(refresh) = status.refresh_ms {
        text.one(&metric::REFRESH, milliseconds(refresh));
    }
}

fn peers(status: &Status, text: &mut Exposition) {
    let peers = status.peers;
    let other = peers.total.saturating_sub(peers.trusted);
    text.each(
        &metric::PEERS,
        [("trusted", peers.trusted), ("other", other)],
    );
    text.one(&metric::PEERS_LIMIT, peers.capacity);
}

fn traffic(status: &Status, text: &mut Exposition) {
    let counters = status.counters;
    text.each(
        &metric::DATAGRAMS,
        [("rx", counters.rx_packets), ("tx", counters.tx_packets)],
    );
    text.each(
        &metric::BYTES,
        [("rx", counters.rx_bytes), ("tx", counters.tx_bytes)],
    );
    lanes(&status.lanes, text);
    text.each(&metric::DATA_PATH, bounded(&status.data_path.counters));
    let path = &status.data_path;
    text.each(
        &metric::DATA_PATH_IN_USE,
        [Carrier::Kernel, Carrier::User].map(|one| (one.name(), one == path.in_use)),
    );
    text.each(
        &metric::DATA_PATH_PACKETS,
        [("kernel", path.packets.kernel), ("user", path.packets.user)],
    );
    // An alert on a counter needs its zero.
    let mut drops: BTreeMap<_, _> = DropReason::ALL
        .iter()
        .map(|reason| (reason.name(), 0))
        .collect();
    drops.extend(bounded(&status.drops));
    text.each(&metric::DROPS, drops);
}

fn lanes(lanes: &[Lane], text: &mut Exposition) {
    let lanes = || lanes.iter().take(MAX_NAMES).enumerate();
    if lanes().next().is_none() {
        return;
    }
    text.each_pair(
        &metric::LANE_DATAGRAMS,
        lanes().flat_map(|(number, lane)| {
            let counters = lane.counters;
            [("rx", counters.rx_packets), ("tx", counters.tx_packets)]
                .map(|(direction, count)| ([number.to_string(), direction.to_owned()], count))
        }),
    );
    let peers = lanes().filter_map(|(number, lane)| Some((number.to_string(), lane.peers?)));
    let peers: Vec<_> = peers.collect();
    if !peers.is_empty() {
        text.each(&metric::LANE_PEERS, peers);
    }
}

fn bounded(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
    let counts = counts.iter().take(MAX_NAMES);
    counts.map(|(name, &count)| (name.as_str(), count))
}

fn gates(status: &Status, text: &mut Exposition) {
    text.one(&metric::SUBSCRIBERS, status.notifications.subscribers);
    let in_sync = status.firewall.iter().filter(|gate| gate.in_sync).count();
    text.each(
        &metric::GATES,
        [
            ("in_sync", in_sync as u64),
            ("behind", (status.firewall.len() - in_sync) as u64),
        ],
    );
    text.one(&metric::GATE_MISSES, status.notifications.missed);
    let slowest = status.firewall.iter().filter_map(|gate| gate.settle_us);
    if let Some(slowest) = slowest.max() {
        text.one(&metric::GATE_SETTLE, slowest as f64 / 1e6);
    }
    text.one(&metric::DEPARTED, status.notifications.departed);
}

fn server(status: &Status, text: &mut Exposition) {
    let count = |name: &str| {
        status
            .data_path
            .counters
            .get(name)
            .copied()
            .unwrap_or_default()
    };
    text.each(
        &metric::SERVER_REPLIES,
        [
            ("advertisement", count("advertisements")),
            ("echo_reply", count("echo_replies")),
        ],
    );
    text.each(
        &metric::SERVER_FORWARDED,
        [
            ("client", count("forwarded")),
            ("internet", count("to_native")),
        ],
    );
    if let Some(known) = status.known_clients {
        text.one(&metric::SERVER_CLIENTS, known);
    }
}

fn milliseconds(count: u64) -> f64 {
    count as f64 / 1e3
}

#[cfg(test)]
mod tests;
