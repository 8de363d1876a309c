//! Any bytes as an authentication element.

use teredo::wire::{Authentication, Secret};

/// Runs the target with one input.
pub fn run(bytes: &[u8]) {
    let Ok((element, rest)) = Authentication::parse(bytes) else {
        return;
    };
    let _ = element.to_string();
    let mut again = Vec::new();
    element.emit(&mut again);
    again.extend_from_slice(rest);
    assert_eq!(again, bytes);

    let secret = Secret::new(b"secret");
    let value = secret.sign(element.nonce, element.confirmation, rest);
    assert_eq!(element.verify(&secret, rest), element.value == value);
    assert!(
        Authentication {
            value: &value,
            ..element
        }
        .verify(&secret, rest)
    );
}
