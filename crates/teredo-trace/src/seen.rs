//! A datagram of the trace, with its contents read.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::wire::ParseError;

use crate::contents::Contents;
use crate::observation::{Fate, Observation};

/// A datagram that was meant as Teredo.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) frame: u64,
    pub(crate) time: Duration,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) public_source: Option<SocketAddrV4>,
    pub(crate) inner_destination: Option<SocketAddrV4>,
    pub(crate) ttl: u8,
    /// The length of the UDP payload in bytes.
    pub(crate) length: usize,
    /// A hash of the payload: copies on several interfaces have the same one.
    pub(crate) digest: u64,
    pub(crate) cut: bool,
    pub(crate) fate: Option<Fate>,
    pub(crate) contents: Result<Contents, ParseError>,
}

impl Seen {
    /// `length` is that of the UDP payload, of which a capture may not have all.
    pub(crate) fn new(
        seen: &Observation<'_>,
        length: usize,
        contents: Result<Contents, ParseError>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(seen.payload);
        Self {
            frame: seen.frame,
            time: seen.time,
            source: seen.source,
            destination: seen.destination,
            public_source: seen.public_source,
            inner_destination: seen.inner_destination,
            ttl: seen.ttl,
            length,
            digest: hasher.finish(),
            cut: seen.cut,
            fate: seen.fate.clone(),
            contents,
        }
    }

    pub(crate) const fn ends(&self) -> [SocketAddrV4; 2] {
        [self.source, self.destination]
    }

    /// The source, as the Internet sees it.
    pub(crate) fn far_source(&self) -> SocketAddrV4 {
        self.public_source.unwrap_or(self.source)
    }

    /// The destination, as the receiver knows it.
    pub(crate) fn near_destination(&self) -> SocketAddrV4 {
        self.inner_destination.unwrap_or(self.destination)
    }

    pub(crate) const fn was_dropped(&self) -> bool {
        matches!(self.fate, Some(Fate::Dropped { .. }))
    }
}
