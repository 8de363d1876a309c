//! Any bytes as a datagram.

use teredo::wire::{Datagram, Icmpv6, Secret};

/// Runs the target with one input.
pub fn run(bytes: &[u8]) {
    let Ok(datagram) = Datagram::parse(bytes) else {
        return;
    };
    let _ = (
        datagram.to_string(),
        datagram.verify(&Secret::new(b"secret")),
        Icmpv6::parse(&datagram.packet),
    );
    let mut again = Vec::new();
    datagram.emit(&mut again);
    assert_eq!(again, bytes);

    // A datagram without its trailers is still a datagram; with one byte less it is none.
    let whole = bytes.len() - datagram.trailers.as_bytes().len();
    assert!(Datagram::parse(&bytes[..whole]).is_ok());
    assert!(Datagram::parse(&bytes[..whole - 1]).is_err());
}
