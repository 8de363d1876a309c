//! Any bytes as trailers.

use teredo::wire::{Trailer, Trailers};

/// Runs the target with one input.
pub fn run(bytes: &[u8]) {
    let trailers = Trailers::new(bytes);
    let _ = trailers.to_string();
    let parsed: Vec<Trailer<'_>> = trailers.iter().collect();
    let discards = |trailer: &Trailer<'_>| {
        matches!(
            trailer,
            Trailer::Unknown {
                kind: 0x40..0x80,
                ..
            }
        )
    };
    assert_eq!(trailers.check().is_err(), parsed.iter().any(discards));

    let mut again = Vec::new();
    parsed.iter().for_each(|trailer| trailer.emit(&mut again));
    assert!(again.len() <= bytes.len());
    assert_eq!(Trailers::new(&again).collect::<Vec<_>>(), parsed);
}
