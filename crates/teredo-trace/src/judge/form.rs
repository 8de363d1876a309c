//! The form of single datagrams: addresses, trailers, the fixed fields of solicitations and discovery bubbles.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::policy::is_global_unicast;
use teredo::wire::{ALL_ROUTERS, DISCOVERY, Flags, PORT, ParseError, is_obsolete_teredo};

use crate::contents::{Contents, Message, embedded};
use crate::finding::{self, Finding};
use crate::kind::Kind;
use crate::nodes::{Node, Role};
use crate::recognise::is_public;
use crate::seen::Seen;
use crate::trailer::TrailerRecord;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The least length of a ping test's nonce in bytes (RFC 4380 §5.2.9).
const PING_NONCE: usize = 8;

/// The addresses that were judged: each is judged once, not in each packet.
#[derive(Debug)]
pub(super) struct Forms {
    addresses: BTreeSet<Ipv6Addr>,
    pairs: BTreeSet<(SocketAddrV4, Ipv6Addr)>,
    limit: usize,
}

/// The finding about a datagram that is no Teredo packet.
pub(super) fn malformed(error: &ParseError) -> Finding {
    let rule = match error {
        ParseError::Misplaced(_) => finding::ORDER,
        ParseError::Truncated {
            what: "IPv6 packet",
            ..
        } => finding::LENGTH,
        ParseError::Truncated { .. } => finding::TRUNCATED_ELEMENT,
        _ => finding::NOT_TEREDO,
    };
    rule.broken(error.to_string())
}

impl Forms {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            addresses: BTreeSet::new(),
            pairs: BTreeSet::new(),
            limit,
        }
    }

    /// Whether this outer source was not yet seen with that inner source.
    pub(super) fn is_new_pair(&mut self, outer: SocketAddrV4, inner: Ipv6Addr) -> bool {
        self.pairs.len() < self.limit && self.pairs.insert((outer, inner))
    }

    pub(super) fn look(
        &mut self,
        seen: &Seen,
        contents: &Contents,
        kind: Kind,
        found: &mut Vec<Finding>,
    ) {
        for address in [contents.source, contents.destination] {
            self.address(address, found);
        }
        target(seen, contents, found);
        trailers(contents, kind, found);
        match &contents.message {
            Message::Solicitation(fault) => solicitation(seen, contents, fault.as_ref(), found),
            Message::Bubble if kind == Kind::DiscoveryBubble => discovery(seen, contents, found),
            Message::EchoRequest(echo) if kind == Kind::PingRequest && echo.length < PING_NONCE => {
                found.push(finding::SHORT_PING_NONCE.broken(format!(
                    "the nonce of the ping test has {} bytes; {PING_NONCE} are hard to guess",
                    echo.length
                )));
            }
            Message::Other {
                is_corrupt: true, ..
            } => {
                found.push(finding::WRONG_CHECKSUM.broken(
                    "the checksum inside is wrong; the network card may have had to fill it in",
                ));
            }
            _ => {}
        }
    }

    fn address(&mut self, address: Ipv6Addr, found: &mut Vec<Finding>) {
        let Some(parts) = embedded(address) else {
            return;
        };
        if self.addresses.len() >= self.limit || !self.addresses.insert(address) {
            return;
        }
        if is_obsolete_teredo(&address) {
            found.push(finding::OBSOLETE_PREFIX.broken(format!(
                "{address} is of 3ffe:831f::/32, the prefix from before RFC 4380"
            )));
        }
        let flags = parts.flags.bits() & Flags::ZERO_MASK;
        if flags & 0x4000 != 0 {
            found.push(
                finding::RESERVED_Z.broken(format!("{address} has the reserved flag 0x4000")),
            );
        }
        if flags & 0x0300 != 0 {
            found.push(
                finding::RESERVED_UG.broken(format!("{address} has the flag U or G: {flags:#06x}")),
            );
        }
        if !is_global_unicast(*parts.mapped.ip()) {
            found.push(finding::PRIVATE_MAPPING.broken(format!(
                "{address} holds {}, which is not on the Internet",
                parts.mapped
            )));
        }
        if parts.mapped.port() == 0 {
            found.push(finding::PORT_ZERO.broken(format!("{address} holds port 0")));
        }
    }
}

/// A datagram to the mapping in a Teredo address leaves only if that is on the Internet.
fn target(seen: &Seen, contents: &Contents, found: &mut Vec<Finding>) {
    let Some(address) = embedded(contents.destination) else {
        return;
    };
    if seen.destination == address.mapped && !is_global_unicast(*address.mapped.ip()) {
        found.push(finding::PRIVATE_TARGET.broken(format!(
            "it is sent to {}, because the address says so",
            address.mapped
        )));
    }
}

/// An indirect bubble goes to the server in the address of the peer. `server` is the node that it goes to. Behind a NAT
/// of its own, a server has another address than the one that clients know.
pub(super) fn server_of_peer(
    seen: &Seen,
    contents: &Contents,
    kind: Kind,
    server: &Node,
    found: &mut Vec<Finding>,
) {
    let to = *seen.destination.ip();
    if let Some(address) = embedded(contents.destination)
        && kind == Kind::IndirectBubble
        && contents.origin.is_none()
        && server.role == Role::Server
        && address.server != to
        && address.mapped != seen.destination
        && is_public(to)
    {
        found.push(finding::WRONG_SERVER.broken(format!(
            "the peer's server is {}, and this bubble goes to {to}",
            address.server
        )));
    }
}

fn solicitation(
    seen: &Seen,
    contents: &Contents,
    fault: Option<&ParseError>,
    found: &mut Vec<Finding>,
) {
    if let Some(fault) = fault {
        found.push(finding::SOLICITATION_FORM.broken(fault.to_string()));
    }
    let ends = [
        (!contents.source.is_unicast_link_local())
            .then(|| format!("from {}, which is not link-local", contents.source)),
        (contents.destination != ALL_ROUTERS)
            .then(|| format!("to {} instead of ff02::2", contents.destination)),
        (seen.destination.port() != PORT)
            .then(|| format!("to port {} instead of {PORT}", seen.destination.port())),
    ];
    let ends: Vec<_> = ends.into_iter().flatten().collect();
    if !ends.is_empty() {
        found
            .push(finding::SOLICITATION_ENDS.broken(format!("a solicitation {}", ends.join(", "))));
    }
    if let Some(element) = contents.authentication
        && element.confirmation != 0
    {
        found.push(finding::CONFIRMATION_FROM_CLIENT.broken(format!(
            "a client's confirmation byte is 0, not {}",
            element.confirmation
        )));
    }
}

fn discovery(seen: &Seen, contents: &Contents, found: &mut Vec<Finding>) {
    let faults = [
        (seen.destination != DISCOVERY).then(|| format!("it goes to {}", seen.destination)),
        (seen.ttl != 1).then(|| format!("its time to live is {}", seen.ttl)),
        (contents.hop_limit != 1).then(|| format!("its hop limit is {}", contents.hop_limit)),
        (contents.destination != ALL_NODES)
            .then(|| format!("it is addressed to {}", contents.destination)),
        embedded(contents.source)
            .is_none()
            .then(|| format!("{} is no Teredo address", contents.source)),
    ];
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    if !faults.is_empty() {
        found.push(finding::DISCOVERY_FORM.broken(faults.join("; ")));
    }
}

/// Each rule once, however many trailers break it.
fn trailers(contents: &Contents, kind: Kind, found: &mut Vec<Finding>) {
    let all = &contents.trailers;
    let demanding: Vec<_> = (all.iter().filter(|trailer| trailer.demands_discard()))
        .map(|trailer| format!("{:#04x}", trailer.kind))
        .collect();
    if let Some(first) = demanding.first() {
        let more = if demanding.len() > 1 {
            " and of others"
        } else {
            ""
        };
        found.push(finding::DISCARD_TRAILER.broken(format!(
            "a trailer of type {first}{more}: a receiver that does not know it must drop the whole packet"
        )));
    }
    for (number, rule) in [
        (1, finding::NONCE_TRAILER),
        (3, finding::ALTERNATE_TRAILER),
        (4, finding::DISCOVERY_TRAILER),
        (5, finding::RANDOM_PORT_TRAILER),
    ] {
        let is_invalid = |trailer: &&TrailerRecord| trailer.kind == number && !trailer.valid;
        if let Some(trailer) = all.iter().find(is_invalid) {
            found.push(rule.broken(format!(
                "the trailer {} has a length of {} or a value that it cannot have",
                trailer.name, trailer.length
            )));
        }
    }
    if kind == Kind::Bubble && all.iter().any(|trailer| trailer.kind == 3 && trailer.valid) {
        found.push(
            finding::ALTERNATE_IN_DIRECT.broken("alternate addresses belong into indirect bubbles"),
        );
    }
    if contents.stray > 0 {
        found.push(finding::STRAY_BYTES.broken(format!(
            "{} bytes behind the packet are no trailer, and are ignored",
            contents.stray
        )));
    }
}
