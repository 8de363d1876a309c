//! What fuzzing has found its way with is tried again: every input that is kept of the targets that cut super-packets and
//! put packets together, without a fuzzer.

#[path = "../../../dev/fuzz/replay.rs"]
#[macro_use]
mod replay;

#[allow(unreachable_pub, reason = "a library of its own")]
#[path = "../../../dev/fuzz/src/offload/mod.rs"]
mod offload;

use replay::structured;

targets! {
    coalesce: structured(offload::coalesce::run),
    cut: structured(offload::cut::run),
}

/// The test of the same name in the crate `teredo` counts on these.
#[test]
fn every_target_is_replayed() {
    assert_eq!(REPLAYED, ["coalesce", "cut"]);
}
