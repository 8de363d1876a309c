//! Goes through the datagrams in their order, and finds broken requirements and stalls.
//!
//! It judges only the datagrams of the capture. A datagram can be missing because it was not sent, or because the
//! capture began late. So a rule about earlier datagrams holds only if the capture has some of that kind.

mod contact;
mod form;
mod ping;
mod qualification;
mod view;

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
pub(crate) use view::View;

/// A copy of a datagram, captured on a second interface, comes within this time.
const COPY: Duration = Duration::from_secs(1);

/// A place where the exchange does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// The number of the last packet before it.
    pub(crate) packet: usize,
    pub(crate) finding: Finding,
}

/// The results of the walk.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The stalls, in the order of their packets.
    pub(crate) halts: Vec<Halt>,
    /// The evidence about the NAT of each client, by the number of its node.
    pub(crate) evidence: BTreeMap<usize, Evidence>,
    /// Why some of it cannot show, each as a sentence.
    pub(crate) notes: Vec<String>,
}

/// The state of the walk.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    servers: &'a BTreeSet<Ipv4Addr>,
    nodes: &'a [Node],
    places: &'a BTreeMap<SocketAddrV4, usize>,
    view: View,
    /// The time of the first datagram.
    start: Option<Duration>,
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
        view: View,
        limit: usize,
    ) -> Self {
        Self {
            servers,
            nodes,
            places,
            view,
            start: None,
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
        let since_start = seen
            .time
            .saturating_sub(*self.start.get_or_insert(seen.time));
        self.forms.look(seen, contents, kind, &mut found);
        if let Some(server) = to.and_then(|to| self.nodes.get(to)) {
            form::server_of_peer(seen, contents, kind, server, &mut found);
        }
        self.look_at_server(seen, contents, kind, to, &mut found);
        match &contents.message {
            Message::Solicitation(_) => {
                self.clients
                    .solicits(packet, from, seen, contents, &mut found);
            }
            Message::Advertisement(_) => {
                self.clients.advertised(to, seen, contents, &mut found);
            }
            Message::Bubble => {
                let view = &self.view;
                self.contacts
                    .bubble(packet, seen, contents, kind, view, &mut found);
            }
            Message::EchoRequest(echo) => self.pings.request(packet, seen, contents, echo, kind),
            Message::EchoReply(echo) => {
                if let Some(reply) = self.pings.reply(contents, echo, since_start, &mut found) {
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
        if let Some(from) = from {
            if self.role(from) == Some(Role::Client) && is_public(*far.ip()) {
                let evidence = self.clients.evidence(from);
                evidence.has_mapping(seen.time, far);
                if let Some(address) = embedded(contents.source)
                    && address.mapped.ip() == far.ip()
                    && address.mapped != far
                {
                    evidence.seen_elsewhere(address.mapped, far);
                }
            }
            self.clients.sends(from, seen.destination);
        }
        let comes_in = !is_public(*seen.near_destination().ip()) && is_public(*far.ip());
        if let Some(to) = to
            && comes_in
            && kind != Kind::Advertisement
            && !seen.was_dropped()
            && self.role(to) == Some(Role::Client)
        {
            self.clients.hears(to, far, kind == Kind::Bubble);
        }
    }

    fn role(&self, node: usize) -> Option<Role> {
        self.nodes.get(node).map(|node| node.role)
    }

    /// The results. `end` is the time of the last frame of the whole capture.
    pub(crate) fn finish(mut self, end: Duration) -> Verdict {
        let mut halts = self.clients.stalls(end);
        let (contacts, hidden_contacts) = self.contacts.stalls(end, &self.view);
        let (pings, hidden_pings) = self.pings.stalls(end, &self.view);
        halts.extend(contacts);
        halts.extend(pings);
        halts.sort_by_key(|halt| halt.packet);
        let mut notes = Vec::new();
        if hidden_contacts + hidden_pings > 0 {
            notes.push(String::from(
                "of some exchanges only packets by way of the server were captured; direct answers cannot show here",
            ));
        }
        Verdict {
            halts,
            evidence: self.clients.into_evidence(),
            notes,
        }
    }
}

/// A span of time for people: `4.0 s`.
fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests;
