//! What a server has done, in lines for a person: at SIGUSR1 and at the end.

use std::fmt::Write as _;

use teredo::DropCounters;
use teredo::server::ServerCounters;
use teredo_tunnel::server::ServerStatus;

use crate::output::narrate;
use crate::text::bytes;

/// Says it on standard error.
pub(super) fn tell(status: &ServerStatus) {
    for line in lines(status) {
        narrate(line);
    }
}

/// What was done, the traffic, and where there are several pairs or workers the part of each.
fn lines(status: &ServerStatus) -> Vec<String> {
    let traffic = &status.traffic;
    let mut lines = vec![
        summary(&status.served, &status.drops),
        format!(
            "received {} datagrams ({}), sent {} ({}); the kernel refused {}, and had no way to the IPv6 Internet for {}",
            traffic.rx_datagrams,
            bytes(traffic.rx_bytes),
            traffic.tx_datagrams,
            bytes(traffic.tx_bytes),
            traffic.tx_refused,
            traffic.no_native_path
        ),
    ];
    if status.pairs.len() > 1 {
        for pair in &status.pairs {
            let summary = summary(&pair.served, &pair.drops);
            lines.push(format!("{}: {summary}", pair.address.primary));
        }
    }
    if status.workers.len() > 1 {
        let shares = status
            .workers
            .iter()
            .map(|worker| worker.rx_datagrams.to_string());
        let shares: Vec<_> = shares.collect();
        lines.push(format!(
            "the {} workers received {} datagrams",
            shares.len(),
            shares.join(", ")
        ));
    }
    lines
}

fn summary(served: &ServerCounters, drops: &DropCounters) -> String {
    let mut text = format!(
        "served {} solicitations and {} echo requests, passed on {} packets to clients and {} to the IPv6 Internet",
        served.advertisements, served.echo_replies, served.forwarded, served.to_native
    );
    // Writing to a `String` cannot fail.
    let _ = write!(text, "; dropped {}", dropped(drops));
    text
}

fn dropped(drops: &DropCounters) -> String {
    let named: Vec<_> = drops
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let total = drops
        .iter()
        .fold(0_u64, |sum, (_, count)| sum.saturating_add(count));
    if named.is_empty() {
        String::from("none")
    } else {
        format!("{total} ({})", named.join(", "))
    }
}

#[cfg(test)]
mod tests;
