//! Solicitations and their answers (RFC 4380 §5.2.1, §5.2.2, §5.3.2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::policy::is_global_unicast;
use teredo::wire::{MTU, PORT, RouterAdvertisement, is_obsolete_teredo, server_link_local};

use super::{COPY, Halt, seconds};
use crate::contents::{Contents, Message, embedded, is_cone};
use crate::finding::{self, Finding};
use crate::nodes::{Answer, Evidence, embedded_end};
use crate::seen::Seen;

/// The solicitations of a client that an answer may be for.
const MOST_ASKED: usize = 16;
/// The ends that a client sent to, of which it may hear.
const MOST_CONTACTED: usize = 1024;
/// The time that a client waits for an answer (RFC 4380 §5.2.1).
const PATIENCE: Duration = Duration::from_secs(4);
/// So many unanswered solicitations make a client give up (RFC 4380 §5.2.1).
const TRIES: usize = 3;
/// The two questions of a qualification leave within this time.
const TOGETHER: Duration = Duration::from_secs(15);
/// The servers of a client that are remembered.
const MOST_SERVERS: usize = 16;

/// The clients that solicit, by the number of their node.
#[derive(Debug)]
pub(super) struct Clients {
    clients: BTreeMap<usize, Client>,
    halts: Vec<Halt>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Client {
    asked: VecDeque<Asked>,
    /// The solicitations since the last answer.
    run: Option<Run>,
    evidence: Evidence,
    /// Whether its first datagram in the capture is a solicitation. Otherwise an unknown sender may be an earlier
    /// contact.
    is_whole: bool,
    is_known: bool,
    /// Whether it qualifies in the capture: it asks with the cone bit, or asks both addresses. A client that runs already
    /// asks one.
    qualifies: bool,
    first: Option<(Duration, Ipv4Addr)>,
    contacted: BTreeSet<SocketAddrV4>,
    /// The addresses that were asked and answered.
    answered: BTreeSet<Ipv4Addr>,
}

/// A solicitation.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Duration,
    from: SocketAddrV4,
    to: SocketAddrV4,
    nonce: Option<[u8; 8]>,
    source: Ipv6Addr,
    cone: bool,
    answered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: Duration,
    last: Duration,
    packet: usize,
    to: SocketAddrV4,
    count: usize,
    with_cone: u32,
}

impl Clients {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            clients: BTreeMap::new(),
            halts: Vec::new(),
            limit,
        }
    }

    fn client(&mut self, node: usize) -> &mut Client {
        // The nodes are bounded, so the clients are.
        self.clients.entry(node).or_default()
    }

    pub(super) fn evidence(&mut self, node: usize) -> &mut Evidence {
        &mut self.client(node).evidence
    }

    /// A client sends something.
    pub(super) fn sends(&mut self, node: usize, to: SocketAddrV4) {
        let client = self.client(node);
        client.is_known = true;
        if client.contacted.len() < MOST_CONTACTED {
            client.contacted.insert(to);
        } else {
            client.is_whole = false;
        }
    }

    /// Something from the Internet reaches a client. Only a bubble can be the first word of a stranger: data comes from a
    /// node that has heard the client before (RFC 4380 §5.2.4, §5.4.1).
    pub(super) fn hears(&mut self, node: usize, from: SocketAddrV4, is_bubble: bool) {
        let client = self.client(node);
        if client.contacted.contains(&from) {
            return;
        }
        if client.is_whole && client.qualifies && is_bubble {
            let is_known = client.contacted.iter().any(|end| end.ip() == from.ip());
            client.evidence.stranger(from, is_known);
        } else {
            client.evidence.unknown(from);
        }
    }

    pub(super) fn solicits(
        &mut self,
        packet: usize,
        from: Option<usize>,
        seen: &Seen,
        contents: &Contents,
        found: &mut Vec<Finding>,
    ) {
        let Some(from) = from else {
            return;
        };
        let cone = is_cone(contents.source);
        let nonce = contents.authentication.map(|element| element.nonce);
        let client = self.client(from);
        client.is_whole |= !client.is_known;
        let (at, first) =
            *(client.first).get_or_insert_with(|| (seen.time, *seen.destination.ip()));
        client.qualifies |=
            cone || first != *seen.destination.ip() && seen.time.saturating_sub(at) <= TOGETHER;
        client
            .evidence
            .solicited(seen.ttl, embedded_end(contents.source));
        if cone && client.asked.is_empty() {
            found.push(
                finding::CONE_PHASE.broken("the cone bit is set; RFC 5991 does without this phase"),
            );
        }
        let repeats = |asked: &&Asked| {
            nonce.is_some()
                && asked.nonce == nonce
                && asked.answered
                && seen.time.saturating_sub(asked.at) > COPY
        };
        if let Some(old) = client.asked.iter().find(repeats) {
            let ago = seconds(seen.time.saturating_sub(old.at));
            found.push(finding::NONCE_REUSED.broken(format!(
                "the nonce was used {ago} ago, and answered: an observer of that can forge this answer"
            )));
        }
        let is_copy = |asked: &&Asked| {
            nonce.is_some() && asked.nonce == nonce && seen.time.saturating_sub(asked.at) <= COPY
        };
        if client.asked.iter().any(|asked| is_copy(&asked)) {
            return;
        }
        if client.asked.len() >= MOST_ASKED {
            client.asked.pop_front();
        }
        client.asked.push_back(Asked {
            at: seen.time,
            from: seen.source,
            to: seen.destination,
            nonce,
            source: contents.source,
            cone,
            answered: false,
        });
        let run = client.run.get_or_insert(Run {
            first: seen.time,
            last: seen.time,
            packet,
            to: seen.destination,
            count: 0,
            with_cone: 0,
        });
        run.count += 1;
        run.with_cone += u32::from(cone);
        (run.last, run.packet, run.to) = (seen.time, packet, seen.destination);
    }

    pub(super) fn advertised(
        &mut self,
        to: Option<usize>,
        seen: &Seen,
        contents: &Contents,
        found: &mut Vec<Finding>,
    ) {
        let Message::Advertisement(advertisement) = &contents.message else {
            return;
        };
        match advertisement {
            Ok(advertisement) => form(seen, contents, advertisement, found),
            Err(_) if seen.cut => {}
            Err(error) => found.push(finding::ADVERTISEMENT_FORM.broken(error.to_string())),
        }
        if seen.source.port() != PORT {
            found.push(finding::ADVERTISEMENT_PORT.broken(format!(
                "it comes from port {} instead of {PORT}",
                seen.source.port()
            )));
        }
        let Some(to) = to else {
            return;
        };
        let limit = self.limit;
        let client = self.client(to);
        let Some(asked) = client.answer(seen, contents, found) else {
            return;
        };
        if contents.destination != asked.source {
            found.push(finding::ADVERTISEMENT_DESTINATION.broken(format!(
                "it goes to {}, and {} asked",
                contents.destination, asked.source
            )));
        }
        let from_other = asked.to.ip() != seen.source.ip();
        if asked.cone != from_other {
            found.push(finding::CONE_IGNORED.broken(if asked.cone {
                "the cone bit asks for an answer from the other address of the server"
            } else {
                "without the cone bit, the answer comes from the address that was asked"
            }));
        }
        if seen.was_dropped() {
            return;
        }
        let is_inside = contents
            .origin
            .is_some_and(|origin| origin != seen.near_destination());
        if asked.cone && from_other && is_inside {
            client.evidence.cone_answered(*seen.source.ip());
        }
        if let Some(mapped) = contents.origin {
            client.evidence.answered(Answer {
                asked: asked.at,
                at: seen.time,
                server: *asked.to.ip(),
                local: asked.from,
                mapped,
            });
        }
        if client.answered.len() < MOST_SERVERS {
            client.answered.insert(*asked.to.ip());
        }
        if let Some(run) = client.run.take() {
            if !asked.cone && run.with_cone > 0 {
                client.evidence.cone_unanswered(run.with_cone);
            }
            let late = run.count - usize::try_from(run.with_cone).unwrap_or(0);
            if late > TRIES && self.halts.len() < limit {
                self.halts.push(Halt {
                    packet: run.packet,
                    finding: finding::STALLED_SOLICITATION.broken(format!(
                        "{} solicitations in {} had no answer before this one",
                        run.count - 1,
                        seconds(run.last.saturating_sub(run.first))
                    )),
                });
            }
        }
    }

    /// The clients that were left without an answer.
    pub(super) fn stalls(&mut self, end: Duration) -> Vec<Halt> {
        let mut halts = std::mem::take(&mut self.halts);
        for client in self.clients.values() {
            let Some(run) = client.run else {
                continue;
            };
            if run.count < TRIES && end.saturating_sub(run.last) < PATIENCE {
                continue;
            }
            let mut text = match run.count {
                1 => format!("the solicitation to {} has no answer", run.to.ip()),
                count => format!(
                    "{count} solicitations in {} have no answer, the last one to {}",
                    seconds(run.last.saturating_sub(run.first)),
                    run.to.ip()
                ),
            };
            match client.answered.iter().next() {
                _ if client.answered.contains(run.to.ip()) => {
                    text.push_str("; earlier ones were answered");
                }
                Some(other) => text.push_str(&format!(
                    "; {other} answered: without the second answer there is no service"
                )),
                None => text.push_str(
                    ": the server is silent, or a firewall on the way drops UDP port 3544",
                ),
            }
            halts.push(Halt {
                packet: run.packet,
                finding: finding::STALLED_SOLICITATION.broken(text),
            });
        }
        halts
    }

    pub(super) fn into_evidence(self) -> BTreeMap<usize, Evidence> {
        let clients = self.clients.into_iter();
        clients
            .map(|(node, client)| (node, client.evidence))
            .collect()
    }
}

impl Client {
    /// The solicitation that an advertisement answers, which is marked. `None` if there is none, or the nonce is wrong.
    fn answer(
        &mut self,
        seen: &Seen,
        contents: &Contents,
        found: &mut Vec<Finding>,
    ) -> Option<Asked> {
        let latest = *self.asked.back()?;
        let is_for = |asked: &&mut Asked| match contents.authentication {
            Some(element) => asked.nonce == Some(element.nonce),
            None => {
                let from_other = asked.to.ip() != seen.source.ip();
                asked.nonce.is_none() && asked.cone == from_other
            }
        };
        if let Some(asked) = self.asked.iter_mut().rev().find(is_for) {
            asked.answered = true;
            return Some(*asked);
        }
        match contents.authentication {
            None if latest.nonce.is_some() => {
                found.push(finding::NO_AUTHENTICATION.broken(
                    "the solicitation had a nonce, and the answer has none: the client ignores it",
                ));
                None
            }
            None => {
                // The server ignores the cone bit; say so.
                let asked = self.asked.back_mut()?;
                asked.answered = true;
                Some(*asked)
            }
            Some(element) => {
                found.push(finding::NONCE_OF_NO_QUESTION.broken(format!(
                    "the nonce {:016x} is that of no solicitation here: the client discards it, or the solicitation was not \
                     captured",
                    u64::from_be_bytes(element.nonce)
                )));
                None
            }
        }
    }
}

/// The form of an advertisement, for any question.
fn form(
    seen: &Seen,
    contents: &Contents,
    advertisement: &RouterAdvertisement,
    found: &mut Vec<Finding>,
) {
    if let Some(element) = contents.authentication
        && element.confirmation != 0
    {
        found.push(finding::KEY_INVALID.broken(format!(
            "confirmation byte {}: the server no longer accepts the client's key",
            element.confirmation
        )));
    }
    match contents.origin {
        None => found.push(
            finding::ADVERTISEMENT_FORM
                .broken("there is no origin indication, so the client does not learn its mapping"),
        ),
        Some(origin) if !is_global_unicast(*origin.ip()) => {
            found.push(
                finding::PRIVATE_MAPPING
                    .broken(format!("the origin {origin} is not on the Internet")),
            );
        }
        Some(_) => {}
    }
    match &advertisement.prefixes[..] {
        [one] => match embedded(one.prefix) {
            Some(_) if is_obsolete_teredo(&one.prefix) => {
                found.push(finding::OBSOLETE_PREFIX.broken(format!(
                    "the prefix {}/{} is from before RFC 4380",
                    one.prefix, one.length
                )));
            }
            Some(_) if one.length == 64 => {}
            _ => found.push(finding::PREFIX.broken(format!(
                "the prefix {}/{} is not that of a Teredo server, 2001:0:A.B.C.D::/64",
                one.prefix, one.length
            ))),
        },
        prefixes => found.push(
            finding::ADVERTISEMENT_FORM
                .broken(format!("{} prefixes instead of one", prefixes.len())),
        ),
    }
    let from = seen.source.ip();
    let primary = advertisement
        .prefixes
        .first()
        .and_then(|prefix| embedded(prefix.prefix))
        .map(|address| address.server);
    let is_own = [Some(*from), primary]
        .into_iter()
        .flatten()
        .any(|server| contents.source == server_link_local(server));
    if !is_own {
        found.push(finding::SERVER_LINK_LOCAL.broken(format!(
            "it comes from {}; the link-local address of {from} is {}",
            contents.source,
            server_link_local(*from)
        )));
    }
    if let Some(mtu) = advertisement.mtu
        && usize::try_from(mtu) != Ok(MTU)
    {
        found.push(finding::MTU.broken(format!("it advertises an MTU of {mtu} instead of {MTU}")));
    }
}
