//! Ping tests: the way to a native host, and the relay at its end (RFC 4380 §5.2.9).

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::{COPY, Halt, View, seconds};
use crate::contents::{Contents, Echo};
use crate::finding::{self, Finding};
use crate::kind::Kind;
use crate::seen::Seen;

/// The requests to one host that a reply may be for.
const MOST_ASKED: usize = 16;
/// The time that a client waits for a reply (RFC 4380 §5.2.4).
const PATIENCE: Duration = Duration::from_secs(2);
/// One request and three repetitions.
const TRIES: usize = 4;
/// A reply to a test before the capture comes within this time: four tries, two seconds each.
const LATE: Duration = Duration::from_secs(8);

/// The ping tests, by client and host.
#[derive(Debug)]
pub(super) struct Pings {
    tests: BTreeMap<(Ipv6Addr, Ipv6Addr), Test>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Test {
    /// The requests by way of the server.
    asked: VecDeque<Echo>,
    /// Those of programs, which go to the relay.
    others: VecDeque<Echo>,
    /// The tests since the last reply.
    waiting: usize,
    first: Duration,
    last: Duration,
    packet: usize,
    /// The payload and the destination of the last one.
    copy: Option<(u64, SocketAddrV4)>,
}

impl Pings {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            tests: BTreeMap::new(),
            limit,
        }
    }

    pub(super) fn request(
        &mut self,
        packet: usize,
        seen: &Seen,
        contents: &Contents,
        echo: &Echo,
        kind: Kind,
    ) {
        let key = (contents.source, contents.destination);
        if self.tests.len() >= self.limit && !self.tests.contains_key(&key) {
            return;
        }
        let test = self.tests.entry(key).or_default();
        let list = if kind == Kind::PingRequest {
            &mut test.asked
        } else {
            &mut test.others
        };
        if list.len() >= MOST_ASKED {
            list.pop_front();
        }
        list.push_back(echo.clone());
        if kind == Kind::PingRequest {
            let copy = (seen.digest, seen.destination);
            let is_copy = test.copy == Some(copy) && seen.time.saturating_sub(test.last) < COPY;
            if test.waiting == 0 {
                test.first = seen.time;
            }
            test.waiting += usize::from(!is_copy);
            (test.last, test.packet, test.copy) = (seen.time, packet, Some(copy));
        }
    }

    /// [`Kind::PingReply`] if this is the reply to a test, or pretends to be. `since_start` is the time since the
    /// beginning of the capture.
    pub(super) fn reply(
        &mut self,
        contents: &Contents,
        echo: &Echo,
        since_start: Duration,
        found: &mut Vec<Finding>,
    ) -> Option<Kind> {
        let test = self
            .tests
            .get_mut(&(contents.destination, contents.source))?;
        if test.asked.iter().any(|asked| echo.answers(asked)) {
            test.waiting = 0;
            return Some(Kind::PingReply);
        }
        if test.waiting == 0 || test.others.iter().any(|asked| echo.answers(asked)) {
            return None;
        }
        found.push(if since_start < LATE {
            finding::PING_NONCE_UNKNOWN.doubtful(
                "its data is the nonce of no ping test here; the capture may have begun after it",
            )
        } else {
            finding::PING_NONCE_UNKNOWN
                .broken("its data is the nonce of no ping test, so it proves nothing")
        });
        Some(Kind::PingReply)
    }

    /// The tests that have no reply, and how many could have one that does not show.
    pub(super) fn stalls(&self, end: Duration, view: &View) -> (Vec<Halt>, usize) {
        let mut halts = Vec::new();
        let mut hidden = 0;
        for ((client, host), test) in &self.tests {
            let is_over = test.waiting >= TRIES || end.saturating_sub(test.last) >= PATIENCE;
            if test.waiting == 0 || !is_over {
                continue;
            }
            if !view.shows(*client) {
                hidden += 1;
                continue;
            }
            let tests = match test.waiting {
                1 => format!("1 ping test to {host} has"),
                count => format!(
                    "{count} ping tests in {} to {host} have",
                    seconds(test.last.saturating_sub(test.first))
                ),
            };
            halts.push(Halt {
                packet: test.packet,
                finding: finding::STALLED_PING.broken(format!(
                    "{tests} no reply: the host does not answer, or no relay leads back, and packets that wait for it are \
                     dropped"
                )),
            });
        }
        (halts, hidden)
    }
}
