//! The names of datagrams.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::Serialize;
use teredo::wire::PORT;

use crate::contents::{Contents, Message, embedded};
use crate::seen::Seen;

/// The kind of a Teredo datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A router solicitation: a client asks a server for its mapping (RFC 4380 §5.2.1).
    Solicitation,
    /// A router advertisement: the server's answer.
    Advertisement,
    /// A bubble from node to node, which opens the sender's NAT (RFC 4380 §5.2.6).
    Bubble,
    /// A bubble to or from a server, which passes it on to its client.
    IndirectBubble,
    /// A bubble to all neighbours on the link (RFC 4380 §5.2.8).
    DiscoveryBubble,
    /// The echo request of a connectivity test, by way of the client's server (RFC 4380 §5.2.9).
    PingRequest,
    /// The echo reply to one, by way of a relay.
    PingReply,
    /// Any other IPv6 packet.
    Data,
    /// A datagram to or from a Teredo server that is no Teredo packet.
    Malformed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Solicitation,
        Self::Advertisement,
        Self::Bubble,
        Self::IndirectBubble,
        Self::DiscoveryBubble,
        Self::PingRequest,
        Self::PingReply,
        Self::Data,
        Self::Malformed,
    ];

    /// The kind of a datagram, but for [`Self::PingReply`], which the requests before it decide.
    pub(crate) fn of(seen: &Seen, servers: &BTreeSet<Ipv4Addr>) -> Self {
        let Ok(contents) = &seen.contents else {
            return Self::Malformed;
        };
        match &contents.message {
            Message::Solicitation(_) => Self::Solicitation,
            Message::Advertisement(_) => Self::Advertisement,
            Message::Bubble if seen.destination.ip().is_multicast() => Self::DiscoveryBubble,
            Message::Bubble if goes_through_server(seen, contents, servers) => Self::IndirectBubble,
            Message::Bubble => Self::Bubble,
            Message::EchoRequest(_)
                if is_end_of_server(seen.destination, servers)
                    && embedded(contents.source).is_some()
                    && embedded(contents.destination).is_none() =>
            {
                Self::PingRequest
            }
            _ => Self::Data,
        }
    }

    /// The name of the kind, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Solicitation => "solicitation",
            Self::Advertisement => "advertisement",
            Self::Bubble => "bubble",
            Self::IndirectBubble => "indirect-bubble",
            Self::DiscoveryBubble => "discovery-bubble",
            Self::PingRequest => "ping-request",
            Self::PingReply => "ping-reply",
            Self::Data => "data",
            Self::Malformed => "malformed",
        }
    }

    /// The name in words, as the ladder diagram has it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Solicitation => "solicitation",
            Self::Advertisement => "advertisement",
            Self::Bubble => "bubble",
            Self::IndirectBubble => "indirect bubble",
            Self::DiscoveryBubble => "discovery bubble",
            Self::PingRequest => "ping test",
            Self::PingReply => "ping reply",
            Self::Data => "data",
            Self::Malformed => "malformed",
        }
    }

    /// Whether it is a bubble of any kind.
    pub const fn is_bubble(self) -> bool {
        matches!(
            self,
            Self::Bubble | Self::IndirectBubble | Self::DiscoveryBubble
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a bubble is on its way to a server that passes it on, or from it. One to a node that does not have a Teredo
/// address goes to a relay, even if the same host is a server.
fn goes_through_server(seen: &Seen, contents: &Contents, servers: &BTreeSet<Ipv4Addr>) -> bool {
    let is_elsewhere =
        |inner, outer| embedded(inner).is_some_and(|address| address.mapped != outer);
    let to_server = is_end_of_server(seen.destination, servers)
        && is_elsewhere(contents.destination, seen.destination);
    let from_server = is_end_of_server(seen.source, servers)
        && (contents.origin.is_some() || is_elsewhere(contents.source, seen.source));
    to_server || from_server
}

pub(crate) fn is_end_of_server(end: SocketAddrV4, servers: &BTreeSet<Ipv4Addr>) -> bool {
    end.port() == PORT && servers.contains(end.ip())
}

#[cfg(test)]
mod tests;
