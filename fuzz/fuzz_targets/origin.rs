//! Any bytes as an origin indication.

#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo::wire::Origin;

fuzz_target!(|bytes: &[u8]| {
    let Ok((origin, rest)) = Origin::parse(bytes) else {
        return;
    };
    let _ = origin.to_string();
    let mut again = Vec::new();
    origin.emit(&mut again);
    again.extend_from_slice(rest);
    assert_eq!(again, bytes);
});
