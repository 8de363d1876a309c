//! The log of every datagram and its fate.

mod pcap;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddrV4;

use teredo::Instant;

pub use self::pcap::Vantage;
use crate::datagram::{Datagram, Summary};
use crate::host::HostId;
use crate::nat::Refusal;

/// The fate of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Still under way.
    InFlight,
    /// Delivered to a host.
    Delivered {
        /// When.
        at: Instant,
        /// The host.
        host: HostId,
    },
    /// Lost at random on a link.
    Lost,
    /// Sent over a link that is down.
    LinkDown,
    /// Dropped by the rule of [`World::interfere`](crate::World::interfere).
    Eaten,
    /// Addressed to a black hole; see [`World::set_silent`](crate::World::set_silent).
    Silenced,
    /// Refused by a NAT.
    Refused(Refusal),
    /// Its time to live ran out.
    Expired,
    /// No host has that address.
    NoRoute,
    /// The host does not listen on that port.
    NoListener,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight => f.write_str("in flight"),
            Self::Delivered { at, host } => write!(f, "delivered to {host} at {}", Seconds(*at)),
            Self::Lost => f.write_str("lost"),
            Self::LinkDown => f.write_str("link down"),
            Self::Eaten => f.write_str("eaten"),
            Self::Silenced => f.write_str("silenced"),
            Self::Refused(Refusal::NoMapping) => f.write_str("refused by NAT: no mapping"),
            Self::Refused(Refusal::Filtered) => f.write_str("refused by NAT: filtered"),
            Self::Refused(Refusal::Exhausted) => f.write_str("refused by NAT: no free port"),
            Self::Refused(Refusal::NoHairpin) => f.write_str("refused by NAT: no hairpinning"),
            Self::Expired => f.write_str("expired"),
            Self::NoRoute => f.write_str("no route"),
            Self::NoListener => f.write_str("no listener"),
        }
    }
}

/// A datagram in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was sent.
    pub at: Instant,
    /// The host that sent it.
    pub sender: HostId,
    /// The datagram in its original form.
    pub datagram: Datagram,
    /// The source behind the last NAT on the way out, as the Internet sees it.
    pub public_source: SocketAddrV4,
    /// The destination behind the last NAT on the way in, as the receiver sees it.
    pub inner_destination: SocketAddrV4,
    /// Whether a link made this copy of the previous record.
    pub duplicate: bool,
    /// Its fate.
    pub fate: Fate,
}

impl Record {
    /// The UDP payload.
    pub fn payload(&self) -> &[u8] {
        &self.datagram.payload
    }

    /// Whether it reached a host.
    pub fn delivered(&self) -> bool {
        matches!(self.fate, Fate::Delivered { .. })
    }
}

impl fmt::Display for Record {
    /// A line in the style of `tcpdump`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Datagram {
            source,
            destination,
            ttl,
            payload,
        } = &self.datagram;
        write!(f, "{} {}: {source}", Seconds(self.at), self.sender)?;
        if self.public_source != *source {
            write!(f, " [{}]", self.public_source)?;
        }
        write!(f, " > {destination}")?;
        if self.inner_destination != *destination {
            write!(f, " [{}]", self.inner_destination)?;
        }
        write!(f, ": {}, length {}", Summary(payload), payload.len())?;
        if *ttl != Datagram::TTL {
            write!(f, ", ttl {ttl}")?;
        }
        if self.duplicate {
            f.write_str(", duplicate")?;
        }
        write!(f, ", {}", self.fate)
    }
}

/// The number of a record in its world.
pub(crate) type RecordNumber = u64;

/// Every datagram that was sent, in order.
///
/// `Display` prints one line for each, and [`Self::to_pcap`] writes a file for Wireshark. Records beyond the limit of
/// [`Self::set_limit`] (initially a million) are discarded, oldest first.
#[derive(Clone, Debug)]
pub struct Capture {
    records: VecDeque<Record>,
    /// The number of discarded records.
    gone: RecordNumber,
    limit: usize,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            gone: 0,
            limit: 1_000_000,
        }
    }
}

impl Capture {
    /// The records, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> + '_ {
        self.records.iter()
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records of one sender, oldest first.
    pub fn sent_by(
        &self,
        host: impl Into<HostId>,
    ) -> impl DoubleEndedIterator<Item = &Record> + '_ {
        let host = host.into();
        self.iter().filter(move |record| record.sender == host)
    }

    /// The number of datagrams that were ever sent, including discarded records.
    pub fn total(&self) -> u64 {
        self.gone + self.records.len() as u64
    }

    /// Keeps at most this many records.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.trim();
    }

    /// Discards the records so far.
    pub fn clear(&mut self) {
        self.gone = self.total();
        self.records.clear();
    }

    pub(crate) fn push(&mut self, record: Record) -> RecordNumber {
        let number = self.total();
        self.records.push_back(record);
        self.trim();
        number
    }

    /// Adds a record for the copy that a link made.
    pub(crate) fn push_duplicate(&mut self, of: RecordNumber) -> RecordNumber {
        match self.get_mut(of).map(|original| Record {
            duplicate: true,
            ..original.clone()
        }) {
            Some(copy) => self.push(copy),
            None => of,
        }
    }

    /// The record, unless it was discarded.
    pub(crate) fn get_mut(&mut self, number: RecordNumber) -> Option<&mut Record> {
        let index = number.checked_sub(self.gone)?;
        self.records.get_mut(usize::try_from(index).ok()?)
    }

    pub(crate) fn set_fate(&mut self, number: RecordNumber, fate: Fate) {
        if let Some(record) = self.get_mut(number) {
            record.fate = fate;
        }
    }

    fn trim(&mut self) {
        while self.records.len() > self.limit {
            self.records.pop_front();
            self.gone += 1;
        }
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|record| writeln!(f, "{record}"))
    }
}

/// An instant as seconds with six decimals.
struct Seconds(Instant);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_nanos() / 1_000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests;
