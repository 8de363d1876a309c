//! IP addresses in the log, replaced by names that tell them apart in this run, and in no other.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The names of addresses: a hash with a random key of this run, so that nobody who reads the log finds the address by
/// trying all of them.
#[derive(Debug, Default)]
pub(super) struct Redaction(RandomState);

impl Redaction {
    /// The text with `addr-1f3a9c02` in place of each address. Ports and prefix lengths stay.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            written.push_str(before);
            // A part of a word such as "cafeteria" is no address.
            let is_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
            if before.ends_with(is_of_a_word) || after.starts_with(is_of_a_word) {
                written.push_str(word);
            } else {
                self.word(word, &mut written);
            }
            rest = after;
        }
        written.push_str(rest);
        written
    }

    /// A run of characters that addresses consist of, which may have a port, or a full stop or a colon of the sentence.
    fn word(&self, word: &str, written: &mut String) {
        let candidates = [
            Some(word),
            word.strip_suffix(['.', ':']),
            // `192.0.2.1:3544`, and `192.0.2.1:3544:` before an error.
            word.split_once(':').map(|(address, _)| address),
        ];
        let found = candidates.into_iter().flatten().find_map(|candidate| {
            let address = candidate.parse::<IpAddr>().ok()?;
            Some((address, &word[candidate.len()..]))
        });
        match found {
            Some((address, after)) if !is_nobody(address) => {
                let name = self.0.hash_one(address) as u32;
                written.push_str(&format!("addr-{name:08x}{after}"));
            }
            _ => written.push_str(word),
        }
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '.' || c == ':'
}

/// Addresses that are the same on every host.
fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_multicast() || address == Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_multicast() || address == Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests;
