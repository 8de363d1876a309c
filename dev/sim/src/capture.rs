//! The log of every datagram, with what became of it.

mod pcap;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddrV4;

use teredo::Instant;

pub use self::pcap::Vantage;
use crate::host::HostId;
use crate::nat::Refusal;

/// A UDP datagram over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it claims to come from.
    pub source: SocketAddrV4,
    /// Where it goes.
    pub destination: SocketAddrV4,
    /// How many routers, NATs among them, it may still pass, and one more.
    pub ttl: u8,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// The time to live that hosts give their datagrams.
    pub const TTL: u8 = 64;
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Still under way.
    InFlight,
    /// Handed to a host.
    Delivered {
        /// When.
        at: Instant,
        /// To whom.
        host: HostId,
    },
    /// Lost on a link, by chance.
    Lost,
    /// Put on a link that is down.
    LinkDown,
    /// Eaten by the rule given to [`World::interfere`](crate::World::interfere).
    Eaten,
    /// Addressed to a black hole; see [`World::set_silent`](crate::World::set_silent).
    Silenced,
    /// Refused by a NAT.
    Refused(Refusal),
    /// Its time to live ran out.
    Expired,
    /// Nobody has that address.
    NoRoute,
    /// The host has nothing on that port.
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
    /// When its host sent it.
    pub at: Instant,
    /// Who sent it.
    pub sender: HostId,
    /// The datagram as its host sent it.
    pub datagram: Datagram,
    /// The source that the Internet saw, behind the last NAT on the way out.
    pub public_source: SocketAddrV4,
    /// The destination that its receiver saw, behind the last NAT on the way in.
    pub inner_destination: SocketAddrV4,
    /// Whether a link made this copy of the record before it.
    pub duplicate: bool,
    /// What became of it.
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
    /// A line as `tcpdump` might print it.
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
        write!(
            f,
            ": {}, length {}",
            crate::payload::Summary(payload),
            payload.len()
        )?;
        if *ttl != Datagram::TTL {
            write!(f, ", ttl {ttl}")?;
        }
        if self.duplicate {
            f.write_str(", duplicate")?;
        }
        write!(f, ", {}", self.fate)
    }
}

/// The number of a record, counted from the first of the world.
pub(crate) type RecordNumber = u64;

/// Every datagram that was sent, in the order of sending.
///
/// `Display` prints a line for each, [`Self::to_pcap`] gives a file for Wireshark. The oldest records go when
/// there are more than [`Self::set_limit`] allows (a million at first).
#[derive(Clone, Debug)]
pub struct Capture {
    records: VecDeque<Record>,
    /// How many older records are gone.
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

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records of what one host sent, oldest first.
    pub fn sent_by(
        &self,
        host: impl Into<HostId>,
    ) -> impl DoubleEndedIterator<Item = &Record> + '_ {
        let host = host.into();
        self.iter().filter(move |record| record.sender == host)
    }

    /// How many datagrams were sent since the world began, those included whose records are gone.
    pub fn total(&self) -> u64 {
        self.gone + self.records.len() as u64
    }

    /// Keeps at most this many records.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.trim();
    }

    /// Forgets the records so far, so that what is sent from now on can be looked at by itself.
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

    /// A second record for a datagram that a link duplicated.
    pub(crate) fn push_duplicate(&mut self, of: RecordNumber) -> RecordNumber {
        match self.get_mut(of).map(|original| Record {
            duplicate: true,
            ..original.clone()
        }) {
            Some(copy) => self.push(copy),
            None => of,
        }
    }

    /// The record, unless it is gone.
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
