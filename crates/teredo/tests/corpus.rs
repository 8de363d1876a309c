//! Replays every input in `dev/fuzz/kept` without a fuzzer, in the fuzz target that found it.

#[path = "../../../dev/fuzz/replay.rs"]
#[macro_use]
mod replay;

#[allow(
    clippy::disallowed_methods,
    unnameable_types,
    unreachable_pub,
    reason = "a library of its own, which chooses nothing by the order of its maps"
)]
#[path = "../../../dev/fuzz/src"]
mod fuzz {
    pub(crate) mod protocol;
}

use std::collections::BTreeSet;

use fuzz::protocol;
use replay::{bytes, structured};

targets! {
    address: structured(protocol::address::run),
    authentication: bytes(protocol::authentication::run),
    client: structured(protocol::client::run),
    datagram: bytes(protocol::datagram::run),
    icmpv6: structured(protocol::icmpv6::run),
    ipv6: bytes(protocol::ipv6::run),
    origin: bytes(protocol::origin::run),
    relay: structured(protocol::relay::run),
    server: structured(protocol::server::run),
    trailer: bytes(protocol::trailer::run),
}

/// Targets of other crates; their own tests replay them.
const ELSEWHERE: [(&str, &str); 4] = [
    ("coalesce", TUNNEL),
    ("cut", TUNNEL),
    ("decapsulate", BPF),
    ("encapsulate", BPF),
];
const TUNNEL: &str = include_str!("../../teredo-tunnel/tests/corpus.rs");
const BPF: &str = include_str!("../../teredo-bpf/tests/corpus.rs");

/// A target that is not replayed would rot.
#[test]
fn every_target_is_replayed() {
    let manifest = include_str!("../../../dev/fuzz/Cargo.toml");
    let binaries = manifest.split("[[bin]]").skip(1);
    let targets: BTreeSet<_> = binaries
        .filter_map(|binary| {
            binary
                .trim_start()
                .strip_prefix("name = \"")?
                .split('"')
                .next()
        })
        .collect();
    let elsewhere = ELSEWHERE.iter().map(|(target, _)| *target);
    let accounted = REPLAYED.iter().copied().chain(elsewhere).collect();
    assert_eq!(targets, accounted);
    for (target, test) in ELSEWHERE {
        assert!(test.contains(&format!("\n    {target}: ")));
    }
}
