//! What fuzzing has found its way with is tried again: every input that is kept in `fuzz/kept`, in the fuzz target that
//! it was found for, without a fuzzer.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arbitrary::{Arbitrary, Unstructured};
use base64ct::{Base64, Encoding as _};

#[allow(
    clippy::disallowed_methods,
    unnameable_types,
    unreachable_pub,
    reason = "a library of its own, which chooses nothing by the order of its maps"
)]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

macro_rules! replay {
    ($($target:ident: $run:expr,)*) => {
        $(
            #[test]
            fn $target() {
                let kept = include_str!(concat!("../../../fuzz/kept/", stringify!($target), ".txt"));
                replay(stringify!($target), kept, $run);
            }
        )*

        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replay! {
    address: structured(targets::address::run),
    authentication: bytes(targets::authentication::run),
    client: structured(targets::client::run),
    datagram: bytes(targets::datagram::run),
    icmpv6: structured(targets::icmpv6::run),
    ipv6: bytes(targets::ipv6::run),
    origin: bytes(targets::origin::run),
    relay: structured(targets::relay::run),
    server: structured(targets::server::run),
    trailer: bytes(targets::trailer::run),
}

/// Targets of another crate, `teredo-tunnel`, which this one cannot depend on: nothing replays them yet.
const ELSEWHERE: [&str; 2] = ["coalesce", "cut"];

/// A target that were not replayed would rot.
#[test]
fn every_target_is_replayed() {
    let manifest = include_str!("../../../fuzz/Cargo.toml");
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
    let accounted = REPLAYED.iter().chain(&ELSEWHERE).copied().collect();
    assert_eq!(targets, accounted);
}

fn replay(target: &str, kept: &str, run: impl Fn(&[u8]) -> bool) {
    let mut tried = 0;
    for (line, number) in kept.lines().zip(1..) {
        let input = Base64::decode_vec(line).expect("an input is a line of base64");
        match catch_unwind(AssertUnwindSafe(|| run(&input))) {
            Ok(accepted) => tried += u32::from(accepted),
            Err(_) => panic!("that was line {number} of fuzz/kept/{target}.txt"),
        }
    }
    assert!(tried > 0, "no input is kept of {target}");
}

/// A target that wants bytes takes all.
fn bytes(run: impl Fn(&[u8])) -> impl Fn(&[u8]) -> bool {
    move |bytes| {
        run(bytes);
        true
    }
}

/// As the macro of `libfuzzer-sys` makes a target's argument of the bytes, unless they are too few.
fn structured<T: for<'a> Arbitrary<'a>>(run: impl Fn(T)) -> impl Fn(&[u8]) -> bool {
    move |bytes| {
        let enough = bytes.len() >= T::size_hint(0).0;
        let input = T::arbitrary_take_rest(Unstructured::new(bytes)).ok();
        input.filter(|_| enough).map(&run).is_some()
    }
}
