//! Goes through the datagrams in their order, and finds broken requirements and stalls.
//!
//! It judges only the datagrams of the capture. A datagram can be missing because it was not sent, or because the
//! capture began late. So a rule about earlier datagrams holds only if the capture has some of that kind.

mod contact;
mod form;
mod ping;
mod qualification;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::contents::{Contents, Message, embedded};
use crate::finding::{self, Finding};
use crate::kind::{Kind, is_end_of_server};
use crate::nodes::{Evidence, Node, Role};
use crate::recognise::is_public;
use crate::seen::Seen;
use contact::Contacts;
use form::Forms;
use ping::Pings;
use qualification::Clients;

/// A place where the exchange does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// The number of the last packet before it.
    pub(crate) packet: usize,
    pub(crate) finding: Finding,
}

/// The state of the walk.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    servers: &'a BTreeSet<Ipv4Addr>,
    nodes: &'a [Node],
    places: &'a BTreeMap<SocketAddrV4, usize>,
    forms: Forms,
    clients: Clients,
    contacts: Contacts,
    pings: Pings,
}

impl<'a> Judge<'a> {
    /// Knows the nodes, and has seen no datagram yet. Each table has at most `limit` entries.
    pub(crate) fn new(
        servers: &'a BTreeSet<Ipv4Addr>,
        nodes: &'a [Node],
        places: &'a BTreeMap<SocketAddrV4, usize>,
        limit: usize,
    ) -> Self {
        Self {
            servers,
            nodes,
            places,
            forms: Forms::new(limit),
            clients: Clients::new(limit),
            contacts: Contacts::new(limit),
            pings: Pings::new(limit),
        }
    }

    /// Looks at the next datagram; `packet` is its number. Returns its kind and its faults.
    pub(crate) fn look(&mut self, packet: usize, seen: &Seen) -> (Kind, Vec<Finding>) {
        let mut found = Vec::new();
        let mut kind = Kind::of(seen, self.servers);
        let contents = match &seen.contents {
            Ok(contents) => contents,
            Err(error) => {
                found.push(form::malformed(error));
                return (kind, found);
            }
        };
        let from = self.places.get(&seen.source).copied();
        let to = self.places.get(&seen.near_destination()).copied();
        self.forms.look(seen, contents, kind, &mut found);
        self.look_at_server(seen, contents, kind, to, &mut found);
        match &contents.message {
            Message::Solicitation(_) => {
                self.clients
                    .solicits(packet, from, seen, contents, &mut found);
            }
            Message::Advertisement(_) => {
                self.clients.advertised(to, seen, contents, &mut found);
            }
            Message::Bubble => self
                .contacts
                .bubble(packet, seen, contents, kind, &mut found),
            Message::EchoRequest(echo) => self.pings.request(packet, seen, contents, echo, kind),
            Message::EchoReply(echo) => {
                if let Some(reply) = self.pings.reply(contents, echo, &mut found) {
                    kind = reply;
                }
            }
            Message::Other { .. } => {}
        }
        if self.is_direct(seen, contents) && !seen.was_dropped() {
            self.contacts.heard(contents, seen.time);
        }
        self.look_at_path(seen, contents, kind, from, to);
        (kind, found)
    }

    /// Whether the datagram comes from the node that its inner source names, or from that node's relay.
    fn is_direct(&self, seen: &Seen, contents: &Contents) -> bool {
        contents.origin.is_none()
            && match embedded(contents.source) {
                Some(_) => !is_end_of_server(seen.source, self.servers),
                None => true,
            }
    }

    /// The rules about packets that servers pass on, and about packets that relays accept.
    fn look_at_server(
        &mut self,
        seen: &Seen,
        contents: &Contents,
        kind: Kind,
        to: Option<usize>,
        found: &mut Vec<Finding>,
    ) {
        let source = embedded(contents.source);
        let node = to.and_then(|to| self.nodes.get(to));
        let is_relay = node.is_some_and(|node| node.is_relay || node.role == Role::Relay);
        let to_server = is_end_of_server(seen.destination, self.servers);
        if to_server && !is_relay && matches!(contents.message, Message::Other { .. }) {
            found.push(
                finding::DATA_TO_SERVER
                    .broken("data to a server, which passes on bubbles and ICMPv6 alone"),
            );
        }
        let far = seen.far_source();
        if let Some(address) = source
            && address.mapped != far
            && is_public(*far.ip())
            && !is_end_of_server(seen.source, self.servers)
            && self.forms.is_new_pair(far, contents.source)
        {
            let text = format!(
                "from {far}, and its address says {}: another mapping for this destination, or forged",
                address.mapped
            );
            if to_server {
                found.push(finding::SOURCE_OTHER_THAN_MAPPED.broken(text));
            } else if is_relay && !kind.is_bubble() {
                found.push(finding::RELAY_REFUSES.broken(text));
            }
        }
        if is_end_of_server(seen.source, self.servers) {
            self.look_at_forwarded(seen, contents, kind, found);
        }
    }

    fn look_at_forwarded(
        &self,
        seen: &Seen,
        contents: &Contents,
        kind: Kind,
        found: &mut Vec<Finding>,
    ) {
        if kind == Kind::Advertisement {
            return;
        }
        let source = embedded(contents.source);
        let own_client = embedded(contents.destination)
            .is_some_and(|address| address.server == *seen.source.ip());
        match (contents.origin, source) {
            (Some(origin), Some(address)) if address.mapped != origin => {
                found.push(finding::SOURCE_OTHER_THAN_MAPPED.broken(format!(
                    "the server passes on a packet from {origin}, whose address says {}",
                    address.mapped
                )));
            }
            (None, Some(address)) if own_client && address.mapped != seen.source => {
                found.push(finding::NO_ORIGIN.broken(
                    "the server passes it on to its own client without an origin indication",
                ));
            }
            _ => {}
        }
        if is_end_of_server(seen.destination, self.servers)
            && seen.destination.ip() == seen.source.ip()
        {
            found.push(finding::FORWARDED_TO_ITSELF.broken("a server sends to itself: a loop"));
        }
    }

    /// The evidence about NATs in the outer addresses.
    fn look_at_path(
        &mut self,
        seen: &Seen,
        contents: &Contents,
        kind: Kind,
        from: Option<usize>,
        to: Option<usize>,
    ) {
        let far = seen.far_source();
        if let (Some(from), Some(address)) = (from, embedded(contents.source))
            && self.role(from) == Some(Role::Client)
            && address.mapped.ip() == far.ip()
            && address.mapped != far
        {
            self.clients
                .evidence(from)
                .seen_elsewhere(address.mapped, far);
        }
        if let Some(from) = from {
            self.clients.sends(from, seen.destination);
        }
        let comes_in = !is_public(*seen.near_destination().ip()) && is_public(*far.ip());
        if let Some(to) = to
            && comes_in
            && kind != Kind::Advertisement
            && !seen.was_dropped()
            && self.role(to) == Some(Role::Client)
        {
            self.clients.hears(to, far);
        }
    }

    fn role(&self, node: usize) -> Option<Role> {
        self.nodes.get(node).map(|node| node.role)
    }

    /// The stalls, in the order of their packets, and the evidence about the NAT of each client. `end` is the time of the
    /// last frame of the whole capture.
    pub(crate) fn finish(mut self, end: Duration) -> (Vec<Halt>, BTreeMap<usize, Evidence>) {
        let mut halts = self.clients.stalls(end);
        halts.extend(self.contacts.stalls(end));
        halts.extend(self.pings.stalls(end));
        halts.sort_by_key(|halt| halt.packet);
        (halts, self.clients.into_evidence())
    }
}

/// A span of time for people: `4.0 s`.
fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests;
