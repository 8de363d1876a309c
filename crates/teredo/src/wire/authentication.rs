//! The authentication element (RFC 4380 §5.1.1, §5.2.2), and the secret that signs it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::ParseError;

/// The element in front of router solicitations and advertisements.
///
/// Even without a secret, the nonce prevents forged advertisements from hosts that do not see the solicitation (RFC
/// 4380 §7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// Identifies the client and its secret; at most 255 bytes.
    pub identifier: &'a [u8],
    /// The keyed hash: [`MAC_LEN`](super::MAC_LEN) bytes, or empty without a secret. At most 255.
    pub value: &'a [u8],
    /// Chosen by the client, repeated by the server.
    pub nonce: [u8; 8],
    /// From the server: zero if the identifier is valid; otherwise the client should get a new one.
    pub confirmation: u8,
}

impl<'a> Authentication<'a> {
    /// The first two bytes of the element.
    pub const MAGIC: [u8; 2] = [0, 1];

    /// The length of the element in bytes if identifier and value are empty.
    pub const MIN_LEN: usize = 13;

    /// The element of a client without a secret: the nonce alone (R4380-5.2.2-04, R4380-5.2.2-05).
    pub const fn nonce_only(nonce: [u8; 8]) -> Self {
        Self {
            identifier: &[],
            value: &[],
            nonce,
            confirmation: 0,
        }
    }

    /// Parses the authentication element at the front; returns it and what follows (R4380-5.1.1-03, R4380-5.1.1-05).
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`], or [`ParseError::UnknownElement`] if the bytes begin differently.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let truncated = |needed| ParseError::Truncated {
            what: "authentication",
            needed,
            available: bytes.len(),
        };
        let Some(([m0, m1, identifier_len, value_len], rest)) = bytes.split_first_chunk::<4>()
        else {
            return Err(truncated(Self::MIN_LEN));
        };
        if [*m0, *m1] != Self::MAGIC {
            return Err(ParseError::UnknownElement(u16::from_be_bytes([*m0, *m1])));
        }
        let identifier_len = usize::from(*identifier_len);
        let value_len = usize::from(*value_len);
        let too_short = || truncated(Self::MIN_LEN + identifier_len + value_len);
        let (identifier, rest) = rest
            .split_at_checked(identifier_len)
            .ok_or_else(too_short)?;
        let (value, rest) = rest.split_at_checked(value_len).ok_or_else(too_short)?;
        let (nonce, rest) = rest.split_first_chunk::<8>().ok_or_else(too_short)?;
        let (confirmation, rest) = rest.split_first().ok_or_else(too_short)?;
        Ok((
            Self {
                identifier,
                value,
                nonce: *nonce,
                confirmation: *confirmation,
            },
            rest,
        ))
    }

    /// Appends the element. Its length fields have one byte each, so an identifier or value longer than 255 bytes is
    /// cut to that.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let (identifier_len, identifier) = up_to_255(self.identifier);
        let (value_len, value) = up_to_255(self.value);
        out.extend_from_slice(&Self::MAGIC);
        out.extend_from_slice(&[identifier_len, value_len]);
        out.extend_from_slice(identifier);
        out.extend_from_slice(value);
        out.extend_from_slice(&self.nonce);
        out.push(self.confirmation);
    }

    /// Whether [`Self::value`] is the result of [`Secret::sign`], in constant time. `rest` is the same as there.
    pub fn verify(&self, secret: &Secret, rest: &[u8]) -> bool {
        secret.verifies(self.value, self.nonce, self.confirmation, rest)
    }
}

fn up_to_255(bytes: &[u8]) -> (u8, &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => (len, bytes),
        Err(_) => (u8::MAX, &bytes[..usize::from(u8::MAX)]),
    }
}

impl fmt::Display for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "authentication nonce {:016x}",
            u64::from_be_bytes(self.nonce)
        )?;
        if self.confirmation != 0 {
            write!(f, " confirmation {:#04x}", self.confirmation)?;
        }
        if !self.identifier.is_empty() {
            write!(f, " identifier \"{}\"", self.identifier.escape_ascii())?;
        }
        if !self.value.is_empty() {
            write!(f, " value {} bytes", self.value.len())?;
        }
        Ok(())
    }
}

/// The length of an authentication value in bytes: HMAC-SHA1, not truncated (RFC 4380 §5.2.2).
pub const MAC_LEN: usize = 20;

/// A shared secret for HMAC-SHA1, the default algorithm of RFC 4380 §5.2.2.
///
/// It holds the state of the hash after the key instead of the key, prints nothing of it, and overwrites it on drop.
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
    /// A secret from its bytes, of which there should be at least 20 (RFC 2104 §3).
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)"))
    }

    /// The authentication value: HMAC-SHA1 over nonce, confirmation byte and `rest`. `rest` is the optional origin
    /// indication and the IPv6 packet, both in their wire form (R4380-5.2.2-08). The MD5 of RFC 4380 §7.2.1 is an error
    /// (A-21).
    pub fn sign(&self, nonce: [u8; 8], confirmation: u8, rest: &[u8]) -> [u8; MAC_LEN] {
        self.mac(nonce, confirmation, rest)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether `value` is the result of [`Self::sign`], in constant time.
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

#[cfg(test)]
mod tests;
