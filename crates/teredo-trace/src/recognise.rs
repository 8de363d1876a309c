//! Whether a UDP payload is Teredo. Nothing is guessed: a datagram counts if the addresses inside it agree with its port or
//! the IPv4 addresses around it, or if it is between nodes that such datagrams show.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::policy::DestinationPolicy;
use teredo::wire::{PORT, ParseError};

use crate::contents::{Contents, Message, embedded};
use crate::observation::Observation;
use crate::seen::Seen;

/// The ports below are those of services. A client does not choose them.
const FIRST_FREE_PORT: u16 = 1024;

/// Too short to be meant as anything: programs keep NAT mappings alive with such datagrams.
const SHORTEST: usize = 4;

/// The verdict on a payload before the rest of the file is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Teredo.
    Certain(Contents),
    /// Teredo, if the other datagrams say that one of its ends is a Teredo node.
    Possible(Contents),
    /// No Teredo packet, but perhaps it was meant to be one.
    Malformed(ParseError),
}

impl Claim {
    /// `None` if a datagram is certainly something else.
    pub(crate) fn of(seen: &Observation<'_>) -> Option<Self> {
        let (from, to) = (seen.source, seen.destination);
        let on_port = from.port() == PORT || to.port() == PORT;
        // A client that happens to have port 3544 talks to some other service.
        let is_other_service = from.port().min(to.port()) < FIRST_FREE_PORT;
        match Contents::read(seen.payload, seen.cut) {
            Ok(contents) => {
                let is_certain = agrees(seen, &contents) || on_port && is_plausible(&contents);
                // A server that answers from a wrong port: R4380-5.3.2-05.
                let is_advertisement = contents.origin.is_some()
                    && matches!(contents.message, Message::Advertisement(_));
                let is_possible = has_teredo_address(&contents)
                    || is_advertisement
                    || on_port && !is_other_service;
                match (is_certain, is_possible) {
                    (true, _) => Some(Self::Certain(contents)),
                    (false, true) => Some(Self::Possible(contents)),
                    (false, false) => None,
                }
            }
            // Of a datagram that was cut, nobody knows the form.
            Err(_) if !on_port || seen.cut || seen.payload.len() < SHORTEST => None,
            Err(_) if is_other_service => None,
            Err(error) => Some(Self::Malformed(error)),
        }
    }
}

/// Whether a Teredo address inside agrees with an end outside.
fn agrees(seen: &Observation<'_>, contents: &Contents) -> bool {
    let fits = |inner, outer, translated: Option<SocketAddrV4>| {
        embedded(inner)
            .is_some_and(|address| address.mapped == outer || Some(address.mapped) == translated)
    };
    // Behind a NAT the outer address is not the mapped one. The other addresses have to do.
    let inside =
        |inner: Ipv6Addr, outer: SocketAddrV4| embedded(inner).is_some() && !is_public(*outer.ip());
    fits(contents.source, seen.source, seen.public_source)
        || fits(contents.destination, seen.destination, None)
        || inside(contents.source, seen.source)
        || inside(contents.destination, seen.destination)
}

/// Whether a packet on the port of servers is one that servers and their clients send.
fn is_plausible(contents: &Contents) -> bool {
    let is_discovery = matches!(
        contents.message,
        Message::Solicitation(_) | Message::Advertisement(_)
    );
    has_teredo_address(contents) || is_discovery && contents.source.is_unicast_link_local()
}

fn has_teredo_address(contents: &Contents) -> bool {
    embedded(contents.source).is_some() || embedded(contents.destination).is_some()
}

/// The facts from the certain datagrams of a file that decide about its other ones.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The ends of Teredo nodes.
    ends: BTreeSet<SocketAddrV4>,
    /// Their Teredo addresses.
    teredo: BTreeSet<Ipv6Addr>,
    servers: BTreeSet<Ipv4Addr>,
}

impl Known {
    pub(crate) fn of<'a>(
        certain: impl Iterator<Item = &'a Seen>,
        servers: BTreeSet<Ipv4Addr>,
    ) -> Self {
        let mut known = Self {
            servers,
            ..Self::default()
        };
        for seen in certain {
            known.ends.extend(seen.ends());
            let Ok(contents) = &seen.contents else {
                continue;
            };
            // A server names the end for which it passes on a bubble.
            known.ends.extend(contents.origin);
            let inner = [contents.source, contents.destination];
            let teredo = inner.into_iter().filter(|inner| embedded(*inner).is_some());
            known.teredo.extend(teredo);
        }
        known
    }

    /// Whether a doubtful datagram belongs into a trace.
    pub(crate) fn accepts(&self, seen: &Seen) -> bool {
        match &seen.contents {
            Ok(contents) => {
                // Another port of a known client: its NAT is symmetric.
                let is_of = |inner, outer: SocketAddrV4| {
                    self.teredo.contains(&inner)
                        && embedded(inner).is_some_and(|it| it.mapped.ip() == outer.ip())
                };
                self.is_node(seen)
                    || is_of(contents.source, seen.far_source())
                    || is_of(contents.destination, seen.destination)
            }
            // Its first bytes are not those of a Teredo packet: only to a server can it have been meant as one.
            Err(ParseError::UnknownElement(_)) => {
                let is_server =
                    |end: &SocketAddrV4| end.port() == PORT && self.servers.contains(end.ip());
                seen.ends().iter().any(is_server)
            }
            Err(_) => self.is_node(seen),
        }
    }

    fn is_node(&self, seen: &Seen) -> bool {
        seen.ends().iter().any(|end| self.ends.contains(end))
    }
}

/// Whether an address can be one on the Internet, as far as Teredo nodes are concerned.
pub(crate) fn is_public(address: Ipv4Addr) -> bool {
    DestinationPolicy::default().permits_address(address)
}

#[cfg(test)]
mod tests;
