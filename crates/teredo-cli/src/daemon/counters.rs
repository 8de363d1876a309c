//! The counters of a client or relay, as SIGUSR1 prints them.

use std::collections::BTreeMap;

use teredo_notify::types::Status;

use crate::output::narrate;
use crate::text::bytes;

/// Prints the counters on standard error.
pub(crate) fn print(status: &Status) {
    for line in lines(status) {
        narrate(line);
    }
}

fn lines(status: &Status) -> [String; 3] {
    let counters = status.counters;
    let path = &status.data_path;
    [
        format!(
            "{}, {} peers ({} trusted); received {} datagrams ({}), sent {} ({})",
            status.state.name(),
            status.peers.total,
            status.peers.trusted,
            counters.rx_packets,
            bytes(counters.rx_bytes),
            counters.tx_packets,
            bytes(counters.tx_bytes)
        ),
        format!(
            "data path: {}; {} packets by the kernel, {} by user space; {}",
            path.in_use.name(),
            path.packets.kernel,
            path.packets.user,
            named(&path.counters)
        ),
        format!("dropped: {}", named(&status.drops)),
    ]
}

/// Those that are not zero.
fn named(counts: &BTreeMap<String, u64>) -> String {
    let named: Vec<_> = counts
        .iter()
        .filter(|&(_, &count)| count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if named.is_empty() {
        String::from("none")
    } else {
        named.join(", ")
    }
}
