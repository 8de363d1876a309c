//! Any bytes as an authentication element.

#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo::wire::Authentication;

fuzz_target!(|bytes: &[u8]| {
    let Ok((element, rest)) = Authentication::parse(bytes) else {
        return;
    };
    let _ = element.to_string();
    let mut again = Vec::new();
    element.emit(&mut again);
    again.extend_from_slice(rest);
    assert_eq!(again, bytes);

    let value = Authentication::compute(b"secret", element.nonce, element.confirmation, rest);
    assert_eq!(element.verify(b"secret", rest), element.value == value);
    assert!(
        Authentication {
            value: &value,
            ..element
        }
        .verify(b"secret", rest)
    );
});
