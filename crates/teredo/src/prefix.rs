//! IPv6 prefixes.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// An IPv6 prefix.
///
/// ```
/// use teredo::Prefix;
///
/// let site: Prefix = "2001:db8:1::/48".parse()?;
/// assert!(site.contains("2001:db8:1:2::3".parse()?));
/// assert!(!site.contains("2001:db8:2::".parse()?));
/// assert_eq!(site.to_string(), "2001:db8:1::/48");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    /// The prefix of the first `len` bits of `address`; a `len` above 128 counts as 128.
    pub const fn new(address: Ipv6Addr, len: u8) -> Self {
        let len = if len > 128 { 128 } else { len };
        Self {
            bits: address.to_bits() & mask(len),
            len,
        }
    }

    /// The first address that has it: all bits behind it are zero.
    pub const fn first(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits)
    }

    /// The number of its bits.
    pub const fn bits(&self) -> u8 {
        self.len
    }

    /// Whether an address has this prefix.
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & mask(self.len) == self.bits
    }

    /// Whether all addresses of `other` have this prefix.
    pub const fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && other.bits & mask(self.len) == self.bits
    }
}

const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        len => u128::MAX << (128 - len),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.len)
    }
}

/// The text is not a [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IPv6 prefix such as 2001:db8::/32")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Bits behind the prefix are no error; `ip -6 address` prints them.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text.split_once('/').ok_or(PrefixError)?;
        let address = address.parse().map_err(|_| PrefixError)?;
        match len.parse() {
            Ok(len @ 0..=128) if !has_sign(text) => Ok(Self::new(address, len)),
            _ => Err(PrefixError),
        }
    }
}

/// Whether the length has a sign, which `u8::from_str` accepts.
fn has_sign(text: &str) -> bool {
    text.contains("/+")
}

#[cfg(test)]
mod tests;
