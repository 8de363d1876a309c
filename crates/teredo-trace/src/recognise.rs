//! Whether a UDP payload is Teredo. Nothing is guessed: a datagram counts if it uses the port of Teredo servers, or if the
//! Teredo addresses inside it agree with the IPv4 addresses around it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::policy::DestinationPolicy;
use teredo::wire::{PORT, ParseError};

use crate::contents::{Contents, Message, embedded};
use crate::observation::Observation;

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
        match Contents::read(seen.payload, seen.cut) {
            Ok(contents) if on_port => Some(Self::Certain(contents)),
            Ok(contents) => {
                let fits = |inner, outer, translated: Option<SocketAddrV4>| {
                    embedded(inner).is_some_and(|address| {
                        address.mapped == outer || Some(address.mapped) == translated
                    })
                };
                // Behind a NAT the outer address is not the mapped one. The other addresses have to do.
                let inside = |inner: Ipv6Addr, outer: SocketAddrV4| {
                    embedded(inner).is_some() && !is_public(*outer.ip())
                };
                let is_certain = fits(contents.source, from, seen.public_source)
                    || fits(contents.destination, to, None)
                    || inside(contents.source, from)
                    || inside(contents.destination, to);
                // A server that answers from a wrong port: R4380-5.3.2-05.
                let is_advertisement = contents.origin.is_some()
                    && matches!(contents.message, Message::Advertisement(_));
                let is_possible = embedded(contents.source).is_some()
                    || embedded(contents.destination).is_some()
                    || is_advertisement;
                match (is_certain, is_possible) {
                    (true, _) => Some(Self::Certain(contents)),
                    (false, true) => Some(Self::Possible(contents)),
                    (false, false) => None,
                }
            }
            Err(_) if !on_port || seen.payload.len() < SHORTEST => None,
            // A client that happens to have port 3544 talks to some other service.
            Err(_) if from.port().min(to.port()) < FIRST_FREE_PORT => None,
            Err(error) => Some(Self::Malformed(error)),
        }
    }
}

/// Whether a malformed datagram belongs into a trace: its first bytes are those of a Teredo packet, or one of its ends is
/// a known server.
pub(crate) fn was_meant_as_teredo(
    error: &ParseError,
    ends: [SocketAddrV4; 2],
    servers: &BTreeSet<Ipv4Addr>,
) -> bool {
    let begins_otherwise = matches!(error, ParseError::UnknownElement(_));
    let is_server = |end: SocketAddrV4| end.port() == PORT && servers.contains(end.ip());
    !begins_otherwise || ends.into_iter().any(is_server)
}

/// Whether an address can be one on the Internet, as far as Teredo nodes are concerned.
pub(crate) fn is_public(address: Ipv4Addr) -> bool {
    DestinationPolicy::default().permits_address(address)
}

#[cfg(test)]
mod tests;
