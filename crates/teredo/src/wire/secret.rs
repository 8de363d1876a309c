//! The secret that client and server share (RFC 4380 §5.2.2).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The length of an authentication value in bytes: HMAC-SHA1, not truncated (RFC 4380 §5.2.2).
pub const MAC_LEN: usize = 20;

/// A shared secret, ready to authenticate with: HMAC-SHA1, the default algorithm of RFC 4380 §5.2.2.
///
/// It holds the hash's state after the key and not the key itself, prints nothing of it, and overwrites it when it
/// is dropped.
///
/// ```
/// use teredo::wire::Secret;
///
/// let secret = Secret::new(b"secret");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone)]
pub struct Secret(Hmac<Sha1>);

impl Secret {
    /// A secret out of its bytes, of which there should be at least 20 (RFC 2104 §3).
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)"))
    }

    /// The authentication value: HMAC-SHA1 over nonce, confirmation byte and `rest`, which is the origin
    /// indication, if there is one, and the IPv6 packet, both in their wire form (R4380-5.2.2-08). Not
    /// MD5, whatever RFC 4380 §7.2.1 says (A-21).
    pub fn sign(&self, nonce: [u8; 8], confirmation: u8, rest: &[u8]) -> [u8; MAC_LEN] {
        self.mac(nonce, confirmation, rest)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether `value` is what [`Self::sign`] gives, in constant time.
    pub(super) fn verifies(
        &self,
        value: &[u8],
        nonce: [u8; 8],
        confirmation: u8,
        rest: &[u8],
    ) -> bool {
        self.mac(nonce, confirmation, rest)
            .verify_slice(value)
            .is_ok()
    }

    fn mac(&self, nonce: [u8; 8], confirmation: u8, rest: &[u8]) -> Hmac<Sha1> {
        self.0
            .clone()
            .chain_update(nonce)
            .chain_update([confirmation])
            .chain_update(rest)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
