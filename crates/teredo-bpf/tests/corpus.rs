//! Replays every input that is kept of the fuzz targets of the programs, without a fuzzer. As root.

#[path = "../../../dev/fuzz/replay.rs"]
#[macro_use]
mod replay;

#[allow(unreachable_pub, reason = "a library of its own")]
#[path = "../../../dev/fuzz/src"]
mod fuzz {
    pub(crate) mod path;
}

use fuzz::path;
use replay::structured;

targets! {
    decapsulate: structured(path::decapsulate::run),
    encapsulate: structured(path::encapsulate::run),
}

/// The test of the same name in the crate `teredo` counts on these.
#[test]
fn every_target_is_replayed() {
    assert_eq!(REPLAYED, ["decapsulate", "encapsulate"]);
}
