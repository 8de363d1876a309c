//! A datagram of the trace, with its contents read.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{PORT, ParseError};

use crate::contents::{Contents, Message, embedded};
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
    pub(crate) cut: bool,
    pub(crate) fate: Option<Fate>,
    pub(crate) contents: Result<Contents, ParseError>,
}

impl Seen {
    pub(crate) fn new(seen: &Observation<'_>, contents: Result<Contents, ParseError>) -> Self {
        Self {
            frame: seen.frame,
            time: seen.time,
            source: seen.source,
            destination: seen.destination,
            public_source: seen.public_source,
            inner_destination: seen.inner_destination,
            ttl: seen.ttl,
            length: seen.payload.len(),
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

    /// Adds the servers that this datagram shows: one that is asked, answers or passes on.
    pub(crate) fn add_servers(&self, servers: &mut BTreeSet<Ipv4Addr>) {
        let Ok(contents) = &self.contents else {
            return;
        };
        let (from, to) = (self.source, self.destination);
        let server_of = |inner| embedded(inner).map(|address| address.server);
        let passes_on = contents.origin.is_some()
            || server_of(contents.destination) == Some(*from.ip())
                && !self.comes_from_mapping(contents);
        let is_asked = match &contents.message {
            Message::Solicitation(_) => true,
            Message::EchoRequest(_) => server_of(contents.source) == Some(*to.ip()),
            _ => false,
        } || server_of(contents.destination) == Some(*to.ip());
        let answers = matches!(contents.message, Message::Advertisement(_));
        if from.port() == PORT && (answers || passes_on) {
            servers.insert(*from.ip());
        }
        if to.port() == PORT && is_asked && !to.ip().is_multicast() {
            servers.insert(*to.ip());
        }
    }

    /// Whether the mapping in the inner source is the outer source: the sender speaks for itself.
    fn comes_from_mapping(&self, contents: &Contents) -> bool {
        embedded(contents.source).is_some_and(|address| address.mapped == self.far_source())
    }
}
