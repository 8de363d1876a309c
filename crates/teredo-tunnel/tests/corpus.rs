//! Replays every input that is kept of the fuzz targets of cutting and coalescing, without a fuzzer.

#[path = "../../../dev/fuzz/replay.rs"]
#[macro_use]
mod replay;

#[allow(unreachable_pub, reason = "a library of its own")]
#[path = "../../../dev/fuzz/src/offload/coalesce.rs"]
mod coalesce;
#[allow(unreachable_pub, reason = "a library of its own")]
#[path = "../../../dev/fuzz/src/offload/cut.rs"]
mod cut;

use replay::structured;

targets! {
    coalesce: structured(coalesce::run),
    cut: structured(cut::run),
}

/// The test of the same name in the crate `teredo` counts on these.
#[test]
fn every_target_is_replayed() {
    assert_eq!(REPLAYED, ["coalesce", "cut"]);
}
