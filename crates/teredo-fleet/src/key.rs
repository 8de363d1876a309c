//! The name of a host in the bucket.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The key of a host: one token of a NATS subject.
///
/// It holds no dot and no wildcard, so that a permission for the subject of one key holds for no other.
///
/// ```
/// use teredo_fleet::HostKey;
///
/// let key: HostKey = "web-1".parse()?;
/// assert_eq!(key.as_str(), "web-1");
/// assert!("web.example".parse::<HostKey>().is_err());
/// assert_eq!(HostKey::of_host_name("web.example")?.as_str(), "web_example");
/// # Ok::<(), teredo_fleet::ParseKeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(Arc<str>);

/// The longest key, in bytes. It is also the longest host name of Linux.
pub const MAX_KEY: usize = 64;

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no key of a host: expected 1 to {MAX_KEY} ASCII letters, digits, '-' or '_'")]
pub struct ParseKeyError {
    text: String,
}

impl HostKey {
    /// The key of a host name: its dots become `_`.
    ///
    /// # Errors
    ///
    /// [`ParseKeyError`] if the name is too long, or has characters that no key has.
    pub fn of_host_name(name: &str) -> Result<Self, ParseKeyError> {
        name.replace('.', "_").parse()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(allowed)
}

impl FromStr for HostKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if is_key(text) {
            Ok(Self(text.into()))
        } else {
            // A message shows no more of it than a key could have.
            let text = text.chars().take(MAX_KEY + 1).collect();
            Err(ParseKeyError { text })
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
