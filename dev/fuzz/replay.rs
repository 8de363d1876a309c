//! The kept inputs of a fuzz target, one after the other and without a fuzzer: for the tests of the crates, which include
//! this file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arbitrary::{Arbitrary, Unstructured};
use base64ct::{Base64, Encoding as _};

/// Replays each line of `kept`, and fails with its number; `run` says whether it took the input.
pub(crate) fn replay(target: &str, kept: &str, run: impl Fn(&[u8]) -> bool) {
    let mut tried = 0;
    for (line, number) in kept.lines().zip(1..) {
        let input = Base64::decode_vec(line).expect("an input is a line of base64");
        match catch_unwind(AssertUnwindSafe(|| run(&input))) {
            Ok(accepted) => tried += u32::from(accepted),
            Err(_) => panic!("that was line {number} of dev/fuzz/kept/{target}.txt"),
        }
    }
    assert!(tried > 0, "no input is kept of {target}");
}

/// A target that wants bytes takes all.
#[allow(dead_code, reason = "not every crate has such a target")]
pub(crate) fn bytes(run: impl Fn(&[u8])) -> impl Fn(&[u8]) -> bool {
    move |bytes| {
        run(bytes);
        true
    }
}

/// As the macro of `libfuzzer-sys` makes a target's argument of the bytes, unless they are too few.
pub(crate) fn structured<T: for<'a> Arbitrary<'a>>(run: impl Fn(T)) -> impl Fn(&[u8]) -> bool {
    move |bytes| {
        let enough = bytes.len() >= T::size_hint(0).0;
        let input = T::arbitrary_take_rest(Unstructured::new(bytes)).ok();
        input.filter(|_| enough).map(&run).is_some()
    }
}

/// A test for each target, and their list. The files are named as from a folder `tests` of a crate.
macro_rules! targets {
    ($($target:ident: $run:expr,)*) => {
        $(
            #[test]
            fn $target() {
                let kept = include_str!(concat!("../../../dev/fuzz/kept/", stringify!($target), ".txt"));
                $crate::replay::replay(stringify!($target), kept, $run);
            }
        )*

        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}
