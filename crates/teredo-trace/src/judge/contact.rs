//! Bubbles, and the contact that they are to make (RFC 4380 §5.2.4, §5.2.6, RFC 6081 §5.2).

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use super::{Halt, seconds};
use crate::contents::{Contents, embedded};
use crate::finding::{self, Finding};
use crate::kind::Kind;
use crate::seen::Seen;

/// The bubbles of one event leave together: direct and indirect, and those of RFC 6081's extensions.
const TOGETHER: Duration = Duration::from_millis(500);
/// The least time between two events, with a tolerance for a busy host.
const SPACING: Duration = Duration::from_millis(1900);
/// The time in which only so many events may be (RFC 4380 §5.2.6).
const WINDOW: Duration = Duration::from_secs(300);
const MOST_EVENTS: usize = 4;
/// The time that a node waits for an answer to a bubble (RFC 4380 §5.2.4).
const PATIENCE: Duration = Duration::from_secs(2);
/// A bubble within this time after the peer's is an answer.
const ANSWER: Duration = Duration::from_secs(4);
/// The nonces of a node's indirect bubbles that an answer may repeat.
const MOST_NONCES: usize = 16;

/// The contacts by bubbles, by the IPv6 addresses of sender and receiver.
#[derive(Debug)]
pub(super) struct Contacts {
    contacts: BTreeMap<(Ipv6Addr, Ipv6Addr), Contact>,
    limit: usize,
}

/// One direction of a contact.
#[derive(Debug, Default)]
struct Contact {
    /// The events since the peer was heard directly, the oldest first.
    events: VecDeque<Duration>,
    /// The bubbles since then.
    bubbles: usize,
    first: Duration,
    last: Duration,
    packet: usize,
    /// Whether an indirect one was among them.
    was_indirect: bool,
    was_direct: bool,
    /// When the peer was last heard, directly or through its server.
    heard: Option<Duration>,
    /// Whether the peer was heard right before the first of these bubbles: then they are answers.
    is_answer: bool,
    /// The nonces of the indirect bubbles.
    nonces: VecDeque<String>,
}

impl Contacts {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            contacts: BTreeMap::new(),
            limit,
        }
    }

    fn contact(&mut self, from: Ipv6Addr, to: Ipv6Addr) -> Option<&mut Contact> {
        let is_full = self.contacts.len() >= self.limit;
        match self.contacts.get(&(from, to)) {
            None if is_full => None,
            _ => Some(self.contacts.entry((from, to)).or_default()),
        }
    }

    /// A bubble of any kind.
    pub(super) fn bubble(
        &mut self,
        packet: usize,
        seen: &Seen,
        contents: &Contents,
        kind: Kind,
        found: &mut Vec<Finding>,
    ) {
        let (source, destination) = (contents.source, contents.destination);
        if kind == Kind::DiscoveryBubble {
            return;
        }
        if kind == Kind::Bubble {
            self.nonce_of_answer(contents, found);
        }
        // The copy that a server passes on prompts its receiver, and is no new bubble of the sender.
        let is_passed_on = kind == Kind::IndirectBubble
            && (contents.origin.is_some() || seen.source.port() == teredo::wire::PORT);
        if !seen.was_dropped()
            && let Some(back) = self.contact(destination, source)
        {
            back.heard = Some(seen.time);
        }
        let is_client = embedded(source).is_some();
        let Some(contact) = self.contact(source, destination) else {
            return;
        };
        if kind == Kind::IndirectBubble
            && let Some(nonce) = contents.nonce()
            && !contact.nonces.iter().any(|known| known == nonce)
        {
            if contact.nonces.len() >= MOST_NONCES {
                contact.nonces.pop_front();
            }
            contact.nonces.push_back(nonce.to_owned());
        }
        if is_passed_on {
            return;
        }
        let now = seen.time;
        let last = contact.events.back().copied();
        let since = last.map(|last| now.saturating_sub(last));
        if since.is_none_or(|since| since > TOGETHER) {
            if is_client && !contact.was_prompted() && since.is_some_and(|since| since < SPACING) {
                found.push(finding::BUBBLE_TOO_SOON.broken(format!(
                    "{} after the last bubble to this peer; 2 s have to pass",
                    seconds(since.unwrap_or_default())
                )));
            }
            contact.events.push_back(now);
            while (contact.events.front()).is_some_and(|first| now.saturating_sub(*first) >= WINDOW)
            {
                contact.events.pop_front();
            }
            if is_client && contact.events.len() > MOST_EVENTS {
                found.push(finding::BUBBLES_TOO_MANY.broken(format!(
                    "bubble event {} in {} without a direct answer; {MOST_EVENTS} are permitted in 300 s",
                    contact.events.len(),
                    seconds(now.saturating_sub(contact.events.front().copied().unwrap_or(now)))
                )));
                // One finding says it; the count begins anew.
                contact.events.drain(..MOST_EVENTS);
            }
        }
        if contact.bubbles == 0 {
            contact.first = now;
            contact.is_answer =
                (contact.heard).is_some_and(|heard| now.saturating_sub(heard) <= ANSWER);
        }
        contact.bubbles += 1;
        contact.was_indirect |= kind == Kind::IndirectBubble;
        contact.was_direct |= kind == Kind::Bubble;
        (contact.last, contact.packet) = (now, packet);
    }

    /// The nonce of a direct bubble is that of an indirect one from the peer (RFC 6081 §5.2.4.2).
    fn nonce_of_answer(&mut self, contents: &Contents, found: &mut Vec<Finding>) {
        let Some(nonce) = contents.nonce() else {
            return;
        };
        let asked = self.contacts.get(&(contents.destination, contents.source));
        let nonces = asked.map(|asked| &asked.nonces);
        match nonces {
            Some(nonces) if nonces.iter().any(|known| known == nonce) => {}
            Some(nonces) if !nonces.is_empty() => {
                found.push(finding::NONCE_ANSWERS_NOTHING.broken(format!(
                    "the nonce {nonce} answers no indirect bubble of the peer"
                )));
            }
            _ => found.push(finding::NONCE_BEFORE_QUESTION.broken(format!(
                "the nonce {nonce}, and no indirect bubble with it was captured"
            ))),
        }
    }

    /// A packet came directly from the node of its inner source.
    pub(super) fn heard(&mut self, contents: &Contents, now: Duration) {
        let Some(back) = self
            .contacts
            .get_mut(&(contents.destination, contents.source))
        else {
            return;
        };
        back.events.clear();
        back.bubbles = 0;
        (back.was_direct, back.was_indirect) = (false, false);
        back.heard = Some(now);
    }

    /// The contacts that were not made.
    pub(super) fn stalls(&self, end: Duration) -> Vec<Halt> {
        let mut halts = Vec::new();
        for ((_, to), contact) in &self.contacts {
            let is_over =
                contact.bubbles >= MOST_EVENTS || end.saturating_sub(contact.last) >= PATIENCE;
            if contact.bubbles == 0 || contact.is_answer || !is_over {
                continue;
            }
            let ways = match (contact.was_direct, contact.was_indirect) {
                (true, true) => "direct and through the server",
                (true, false) => "direct ones alone",
                _ => "through the server alone",
            };
            let count = match contact.bubbles {
                1 => String::from("1 bubble"),
                count => format!(
                    "{count} bubbles in {}",
                    seconds(contact.last.saturating_sub(contact.first))
                ),
            };
            let reason = if contact.was_prompted() {
                "the peer was heard through its server alone, so its own NAT or that of the sender stops the direct way"
            } else {
                "nothing of the peer was seen, and packets that wait for it are dropped"
            };
            halts.push(Halt {
                packet: contact.packet,
                finding: finding::STALLED_BUBBLE.broken(format!(
                    "{count} to {to} ({ways}) have no direct answer: {reason}"
                )),
            });
        }
        halts
    }
}

impl Contact {
    /// Whether the peer was heard since the last bubble event.
    fn was_prompted(&self) -> bool {
        match (self.heard, self.events.back()) {
            (Some(heard), Some(last)) => heard >= *last,
            (heard, _) => heard.is_some(),
        }
    }
}
