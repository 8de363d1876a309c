//! Bubbles, and the contact that they are to make (RFC 4380 §5.2.4, §5.2.6, RFC 6081 §5.2).

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::{COPY, Halt, View, seconds};
use crate::contents::{Contents, embedded};
use crate::finding::{self, Finding};
use crate::kind::Kind;
use crate::seen::Seen;

/// The bubbles of one event leave together: direct and indirect, and those of RFC 6081's extensions. One from a
/// random port waits until that is open.
const TOGETHER: Duration = Duration::from_millis(900);
/// An answer to a bubble leaves within this time; the rest is the way, if the capture is from elsewhere.
const PROMPT: Duration = Duration::from_millis(500);
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
/// The last bubbles that a copy is held against.
const MOST_COPIES: usize = 8;

/// The contacts by bubbles, by the IPv6 addresses of sender and receiver.
#[derive(Debug)]
pub(super) struct Contacts {
    contacts: BTreeMap<(Ipv6Addr, Ipv6Addr), Contact>,
    limit: usize,
}

/// One direction of a contact.
#[derive(Debug, Default)]
struct Contact {
    /// The events of the sender's own accord since the peer was heard directly, the oldest first.
    events: VecDeque<Duration>,
    /// Those that answer a bubble of the peer. The RFC's limit is read as one for each kind.
    answers: VecDeque<Duration>,
    /// The beginning of the last event, of any kind.
    event: Option<Duration>,
    /// The events since the peer was heard directly.
    rounds: usize,
    /// The bubbles since then, without copies.
    bubbles: usize,
    /// The last bubbles: payload, destination and time.
    copies: VecDeque<(u64, SocketAddrV4, Duration)>,
    first: Duration,
    last: Duration,
    packet: usize,
    /// Whether an indirect one was among them.
    was_indirect: bool,
    was_direct: bool,
    /// Whether the peer was ever heard directly.
    was_met: bool,
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
        view: &View,
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
            && (contents.origin.is_some() || view.is_server(seen.source));
        if !seen.was_dropped()
            && let Some(back) = self.contact(destination, source)
        {
            back.heard = Some(seen.time);
        }
        let Some(contact) = self.contact(source, destination) else {
            return;
        };
        if kind == Kind::IndirectBubble
            && let Some(nonce) = contents.nonce()
        {
            contact.keep_nonce(nonce);
        }
        if is_passed_on || contact.is_copy(seen) {
            return;
        }
        let now = seen.time;
        contact.was_indirect |= kind == Kind::IndirectBubble;
        contact.was_direct |= kind == Kind::Bubble;
        let is_new = contact.begins_event(now);
        let may_judge = embedded(source).is_some() && contact.shows_answers(source, view);
        if is_new && let Some(fault) = contact.event(now).filter(|_| may_judge) {
            found.push(fault);
        }
        if contact.bubbles == 0 {
            contact.first = now;
            contact.is_answer =
                (contact.heard).is_some_and(|heard| now.saturating_sub(heard) <= ANSWER);
        }
        contact.bubbles += 1;
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
        back.answers.clear();
        (back.bubbles, back.rounds) = (0, 0);
        (back.was_direct, back.was_indirect) = (false, false);
        (back.heard, back.was_met) = (Some(now), true);
    }

    /// The contacts that were not made, and how many may have been made where it does not show.
    pub(super) fn stalls(&self, end: Duration, view: &View) -> (Vec<Halt>, usize) {
        let mut halts = Vec::new();
        let mut hidden = 0;
        for ((from, to), contact) in &self.contacts {
            let is_over =
                contact.rounds >= MOST_EVENTS || end.saturating_sub(contact.last) >= PATIENCE;
            // A single direct bubble to a peer that was met before keeps the way open, and asks for nothing.
            let keeps_open = contact.was_met && contact.rounds == 1 && !contact.was_indirect;
            if contact.bubbles == 0 || contact.is_answer || keeps_open || !is_over {
                continue;
            }
            if !contact.shows_answers(*from, view) {
                hidden += 1;
                continue;
            }
            let ways = match (contact.was_direct, contact.was_indirect) {
                (true, true) => "direct and through the server",
                (true, false) => "direct ones alone",
                _ => "through the server alone",
            };
            let bubbles = match contact.bubbles {
                1 => format!("1 bubble to {to} ({ways}) has"),
                count => format!(
                    "{count} bubbles in {} to {to} ({ways}) have",
                    seconds(contact.last.saturating_sub(contact.first))
                ),
            };
            let was_heard = contact.heard.is_some_and(|heard| heard >= contact.first);
            let reason = if was_heard {
                "the peer was heard through its server alone, so its own NAT or that of the sender stops the direct way"
            } else {
                "nothing of the peer was seen, and packets that wait for it are dropped"
            };
            halts.push(Halt {
                packet: contact.packet,
                finding: finding::STALLED_BUBBLE
                    .broken(format!("{bubbles} no direct answer: {reason}")),
            });
        }
        (halts, hidden)
    }
}

impl Contact {
    fn keep_nonce(&mut self, nonce: &str) {
        if self.nonces.iter().any(|known| known == nonce) {
            return;
        }
        if self.nonces.len() >= MOST_NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce.to_owned());
    }

    /// Whether the same datagram was captured on another interface.
    fn is_copy(&mut self, seen: &Seen) -> bool {
        let is_same = |(digest, to, at): &(u64, SocketAddrV4, Duration)| {
            (*digest, *to) == (seen.digest, seen.destination)
                && seen.time.saturating_sub(*at) < COPY
        };
        if self.copies.iter().any(is_same) {
            return true;
        }
        if self.copies.len() >= MOST_COPIES {
            self.copies.pop_front();
        }
        self.copies
            .push_back((seen.digest, seen.destination, seen.time));
        false
    }

    /// Whether a direct answer to this contact would be in the capture.
    fn shows_answers(&self, from: Ipv6Addr, view: &View) -> bool {
        self.was_direct || view.shows(from)
    }

    fn begins_event(&self, now: Duration) -> bool {
        let since = self.event.map(|event| now.saturating_sub(event));
        since.is_none_or(|since| since > TOGETHER)
    }

    /// A new event, and its fault. It answers the peer, or is of the sender's own accord; if the peer was heard some time
    /// before, it can be either, and does not count.
    fn event(&mut self, now: Duration) -> Option<Finding> {
        let before = self.event.replace(now);
        self.rounds += 1;
        let since_heard = self.heard.map(|heard| now.saturating_sub(heard));
        let is_answer = since_heard.is_some_and(|since| since <= PROMPT);
        let is_doubtful = match (self.heard, before) {
            (Some(heard), Some(before)) => heard >= before,
            (heard, _) => heard.is_some(),
        };
        if is_doubtful && !is_answer {
            return None;
        }
        let (list, name) = if is_answer {
            (&mut self.answers, "answer")
        } else {
            (&mut self.events, "bubble event")
        };
        let since = list.back().map(|last| now.saturating_sub(*last));
        list.push_back(now);
        while (list.front()).is_some_and(|first| now.saturating_sub(*first) >= WINDOW) {
            list.pop_front();
        }
        if list.len() > MOST_EVENTS {
            let fault = finding::BUBBLES_TOO_MANY.broken(format!(
                "{name} {} in {} without a direct answer; {MOST_EVENTS} are permitted in 300 s",
                list.len(),
                seconds(now.saturating_sub(list.front().copied().unwrap_or(now)))
            ));
            // One finding says it; the count begins anew.
            list.drain(..MOST_EVENTS);
            return Some(fault);
        }
        let since = since.filter(|since| !is_answer && *since < SPACING)?;
        Some(finding::BUBBLE_TOO_SOON.broken(format!(
            "{} after the last bubble to this peer; 2 s have to pass",
            seconds(since)
        )))
    }
}
