//! The name of a host's boot, in little memory.

use std::fmt;

/// The name of a boot. That of Linux is a UUID, so a perimeter of many hosts keeps it without an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    Id([u8; 16]),
    Other(Box<str>),
}

impl Boot {
    pub(crate) fn new(text: &str) -> Self {
        let id = id(text).map(Self::Id);
        // Only one spelling is kept: what is confirmed is what the host wrote.
        id.filter(|id| id.to_string() == text)
            .unwrap_or_else(|| Self::Other(text.into()))
    }
}

/// The number of a text that may be a UUID.
fn id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|char| *char != '-').take(33).collect();
    let number = u128::from_str_radix(&digits, 16).ok();
    number.map(u128::to_be_bytes)
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => {
                let digits = format!("{:032x}", u128::from_be_bytes(*id));
                let [a, b, c, d, e] =
                    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
                write!(f, "{a}-{b}-{c}-{d}-{e}")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests;
