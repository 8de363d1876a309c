//! The log of every datagram and its fate, and a hash of it.

mod digest;
mod pcap;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddrV4;

use teredo::Instant;

use self::digest::Digest;
pub use self::pcap::Vantage;
use crate::datagram::{Datagram, Summary};
use crate::host::HostId;
use crate::icmp::IcmpError;
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
    /// The queue of a link was full.
    Overflow,
    /// Longer than the MTU of a link, which it may not or cannot pass in fragments.
    TooLong,
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
            Self::Overflow => f.write_str("queue full"),
            Self::TooLong => f.write_str("longer than the MTU"),
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
            ..
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

/// An ICMP error that reached a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Instant,
    /// The host.
    pub host: HostId,
    /// The error, as the host sees it.
    pub error: IcmpError,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ICMP {}", Seconds(self.at), self.host, self.error)
    }
}

/// How much of a run a [`Capture`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureMode {
    /// Nothing, and no hash: for measurements.
    Off,
    /// The hash alone, which costs a few nanoseconds for each datagram and no memory.
    HashOnly,
    /// The hash, and so many of the latest records.
    Last(usize),
    /// The hash and every record, without a limit.
    All,
}

impl CaptureMode {
    fn limit(self) -> usize {
        match self {
            Self::Off | Self::HashOnly => 0,
            Self::Last(limit) => limit,
            Self::All => usize::MAX,
        }
    }
}

/// The number of a record in its world.
pub(crate) type RecordNumber = u64;

/// Every datagram that was sent, in order, and the ICMP errors that reached a host.
///
/// `Display` prints one line for each, and [`Self::to_pcap`] writes a file for Wireshark. [`Self::set_mode`] says how
/// much is kept, initially the latest million. [`Self::hash`] is the same for two runs only if all their datagrams,
/// times and fates are the same, in any mode but `Off`.
#[derive(Clone, Debug)]
pub struct Capture {
    mode: CaptureMode,
    records: VecDeque<Record>,
    /// The number of discarded records.
    gone: RecordNumber,
    notices: VecDeque<Notice>,
    digest: Digest,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            mode: CaptureMode::Last(1_000_000),
            records: VecDeque::new(),
            gone: 0,
            notices: VecDeque::new(),
            digest: Digest::default(),
        }
    }
}

impl Capture {
    /// The records, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> + '_ {
        self.records.iter()
    }

    /// The ICMP errors that reached a host, oldest first.
    pub fn notices(&self) -> impl DoubleEndedIterator<Item = &Notice> + '_ {
        self.notices.iter()
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

    /// The hash of all datagrams so far, with their times, sources, destinations, bytes and fates; and of the ICMP
    /// errors. It does not depend on the mode, unless that was [`CaptureMode::Off`] for a while.
    pub fn hash(&self) -> u64 {
        self.digest.value()
    }

    /// How much is kept.
    pub fn mode(&self) -> CaptureMode {
        self.mode
    }

    /// Keeps so much from now on, and discards older records beyond it.
    pub fn set_mode(&mut self, mode: CaptureMode) {
        self.mode = mode;
        self.trim();
    }

    /// Keeps at most this many records.
    pub fn set_limit(&mut self, limit: usize) {
        self.set_mode(CaptureMode::Last(limit));
    }

    /// Discards the records so far.
    pub fn clear(&mut self) {
        self.gone = self.total();
        self.records.clear();
        self.notices.clear();
    }

    /// Adds a datagram that a host sends.
    pub(crate) fn sent(
        &mut self,
        at: Instant,
        sender: HostId,
        datagram: &Datagram,
    ) -> RecordNumber {
        if self.mode != CaptureMode::Off {
            self.digest.word(at.as_nanos());
            self.digest.host(sender);
            self.digest.datagram(datagram);
        }
        if self.mode.limit() == 0 {
            return self.skip();
        }
        self.push(Record {
            at,
            sender,
            public_source: datagram.source,
            inner_destination: datagram.destination,
            datagram: datagram.clone(),
            duplicate: false,
            fate: Fate::InFlight,
        })
    }

    /// Counts a datagram that is not kept.
    fn skip(&mut self) -> RecordNumber {
        let number = self.total();
        self.gone += 1;
        number
    }

    fn push(&mut self, record: Record) -> RecordNumber {
        let number = self.total();
        self.records.push_back(record);
        self.trim();
        number
    }

    /// Adds a record for the copy that a link made.
    pub(crate) fn push_duplicate(&mut self, of: RecordNumber) -> RecordNumber {
        if self.mode.limit() == 0 {
            return self.skip();
        }
        match self.get_mut(of).map(|original| Record {
            duplicate: true,
            ..original.clone()
        }) {
            Some(copy) => self.push(copy),
            None => of,
        }
    }

    /// A NAT on the way out gave the datagram this source.
    pub(crate) fn set_source(&mut self, number: RecordNumber, source: SocketAddrV4) {
        self.digest_word(|digest| digest.socket(source));
        if let Some(record) = self.get_mut(number) {
            record.public_source = source;
        }
    }

    /// A NAT on the way in gave the datagram this destination.
    pub(crate) fn set_destination(&mut self, number: RecordNumber, destination: SocketAddrV4) {
        self.digest_word(|digest| digest.socket(destination));
        if let Some(record) = self.get_mut(number) {
            record.inner_destination = destination;
        }
    }

    pub(crate) fn set_fate(&mut self, now: Instant, number: RecordNumber, fate: Fate) {
        self.digest_word(|digest| {
            digest.word(now.as_nanos());
            digest.fate(fate);
        });
        if let Some(record) = self.get_mut(number) {
            record.fate = fate;
        }
    }

    /// Adds an ICMP error that reached a host.
    pub(crate) fn note_error(&mut self, at: Instant, host: HostId, error: IcmpError) {
        self.digest_word(|digest| {
            digest.word(at.as_nanos());
            digest.host(host);
            digest.error(&error);
        });
        if self.mode.limit() > 0 {
            self.notices.push_back(Notice { at, host, error });
            self.trim();
        }
    }

    fn digest_word(&mut self, change: impl FnOnce(&mut Digest)) {
        if self.mode != CaptureMode::Off {
            change(&mut self.digest);
        }
    }

    /// The record, unless it was discarded.
    fn get_mut(&mut self, number: RecordNumber) -> Option<&mut Record> {
        let index = number.checked_sub(self.gone)?;
        self.records.get_mut(usize::try_from(index).ok()?)
    }

    fn trim(&mut self) {
        let limit = self.mode.limit();
        while self.records.len() > limit {
            self.records.pop_front();
            self.gone += 1;
        }
        while self.notices.len() > limit {
            self.notices.pop_front();
        }
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_order(&self.records, &self.notices).try_for_each(|entry| match entry {
            Entry::Record(record) => writeln!(f, "{record}"),
            Entry::Notice(notice) => writeln!(f, "{notice}"),
        })
    }
}

/// A line of the log.
enum Entry<'a> {
    Record(&'a Record),
    Notice(&'a Notice),
}

/// Both in the order of their times.
fn in_order<'a>(
    records: &'a VecDeque<Record>,
    notices: &'a VecDeque<Notice>,
) -> impl Iterator<Item = Entry<'a>> {
    let (mut records, mut notices) = (records.iter().peekable(), notices.iter().peekable());
    std::iter::from_fn(move || match (records.peek(), notices.peek()) {
        (Some(record), Some(notice)) if record.at > notice.at => notices.next().map(Entry::Notice),
        (None, _) => notices.next().map(Entry::Notice),
        _ => records.next().map(Entry::Record),
    })
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
