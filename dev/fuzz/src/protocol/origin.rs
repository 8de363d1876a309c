//! Any bytes as an origin indication.

use teredo::wire::Origin;

/// Runs the target with one input.
pub fn run(bytes: &[u8]) {
    let Ok((origin, rest)) = Origin::parse(bytes) else {
        return;
    };
    let _ = origin.to_string();
    let mut again = Vec::new();
    origin.emit(&mut again);
    again.extend_from_slice(rest);
    assert_eq!(again, bytes);
}
