//! A generator of requests that never has more under way than a socket's buffer holds: what a server can do without
//! losing anything.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::socket::SockaddrStorage;
use serde::Serialize;

use super::batch::{BATCH, Batch};
use super::cpu::Place;

/// Requests under way. A datagram takes 768 bytes of a receive buffer, of which there are 212,992 by default.
const WINDOW: usize = 256;
/// What has not come by then is lost.
const LOST: Duration = Duration::from_millis(100);

/// What the generator asks, and where answers arrive.
pub(crate) struct Load<'a> {
    pub(crate) senders: &'a [UdpSocket],
    pub(crate) receivers: &'a [UdpSocket],
    /// Sent one after the other, and again.
    pub(crate) requests: &'a [Vec<u8>],
    /// Where each request goes; none where the senders are connected.
    pub(crate) destinations: &'a [SockaddrStorage],
    /// Whether an answer is one; asked of one in each batch.
    pub(crate) is_answer: fn(&[u8]) -> bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
}

impl Load<'_> {
    /// Asks for so long, from the core of senders.
    pub(crate) fn run(&self, duration: Duration) -> Result<Outcome> {
        Place::Sender.take()?;
        let mut batch = Batch::new();
        let (mut answered, mut lost, mut under_way) = (0, 0, 0);
        let mut requests = self.requests.iter().cycle();
        let mut destinations = self.destinations.iter().copied().map(Some).cycle();
        let mut to = vec![None; BATCH];
        let mut senders = self.senders.iter().cycle();
        let start = Instant::now();
        let mut last = start;
        while last.elapsed() < LOST || start.elapsed() < duration {
            if start.elapsed() >= duration {
                // What is under way still counts, and is waited for.
                if under_way == 0 {
                    break;
                }
            } else if under_way + BATCH <= WINDOW
                && let Some(sender) = senders.next()
            {
                let chosen = requests.by_ref().take(BATCH).map(Vec::as_slice);
                for (to, next) in to.iter_mut().zip(destinations.by_ref()) {
                    *to = next;
                }
                under_way += batch.send(sender, chosen, &to)?;
            }
            let mut came = 0;
            for receiver in self.receivers {
                let count = batch.receive(receiver, false)?;
                came += count;
                if let Some(answer) = batch.datagrams().next() {
                    ensure!((self.is_answer)(answer), "that is no answer: {answer:02x?}");
                }
            }
            if came > 0 {
                answered += came as u64;
                under_way = under_way.saturating_sub(came);
                last = Instant::now();
            } else if last.elapsed() >= LOST {
                lost += under_way as u64;
                under_way = 0;
                last = Instant::now();
                if start.elapsed() >= duration {
                    break;
                }
            }
        }
        let seconds = last.duration_since(start).as_secs_f64();
        ensure!(answered > 0, "nothing was answered");
        Ok(Outcome {
            answered,
            lost,
            seconds,
        })
    }
}
