//! The evidence of a failed run.

use std::fmt;
use std::time::Duration;

use teredo_trace::{KnownNat, Ladder, Limits, Observation, Obstacle, Trace, Tracer};

use super::World;
use crate::capture::{Fate, Record, Vantage};
use crate::nat::Refusal;

/// The most datagrams in the picture, the last ones of the run: more than that is no picture any more.
const DRAWN: usize = 5_000;

/// All that a person needs to understand and to repeat a run.
///
/// The simulator does no I/O, so a test writes it to files: see [`World::when_failed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The seed: with the same calls, it gives the same run.
    pub seed: u64,
    /// The hash of the run, to recognise it by.
    pub hash: u64,
    /// One line for each datagram and ICMP error.
    pub log: String,
    /// The same for Wireshark and tshark, as the public Internet sees it.
    pub pcap: Vec<u8>,
    /// A ladder diagram of the last datagrams as text: hosts and NATs, each datagram by its name, and where and why it
    /// was dropped.
    pub ladder: String,
    /// The same as a picture (SVG).
    pub svg: String,
}

impl Evidence {
    /// The seed and the hash as a line of text.
    pub fn summary(&self) -> String {
        format!("seed {}, hash {:016x}\n", self.seed, self.hash)
    }
}

/// A closure that takes the evidence.
pub(super) struct Witness(Box<dyn FnMut(&Evidence)>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl World {
    /// The evidence so far, as far as the capture has kept it.
    pub fn evidence(&self) -> Evidence {
        let ladder = Ladder::new(&self.trace());
        Evidence {
            seed: self.seed,
            hash: self.capture.hash(),
            log: self.capture.to_string(),
            pcap: self.capture.to_pcap(Vantage::Public),
            ladder: ladder.text().to_string(),
            svg: ladder.svg(),
        }
    }

    /// The last datagrams, with the names of hosts and NATs.
    fn trace(&self) -> Trace {
        let mut tracer = Tracer::new(Limits::default());
        for router in &self.routers {
            let words = router.nat.behaviour().words();
            tracer.name_nats(vec![KnownNat {
                name: words.to_owned(),
                addresses: router.nat.externals().collect(),
            }]);
        }
        let first = self.capture.len().saturating_sub(DRAWN);
        for (frame, record) in (1..).zip(self.capture.iter().skip(first)) {
            tracer.name(record.datagram.source, record.sender.to_string());
            tracer.observe(&observation(frame, record));
        }
        tracer.finish()
    }

    /// Hands the evidence to the closure if the world is dropped by a panic, as in a test that fails.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    /// use std::rc::Rc;
    ///
    /// use teredo_sim::World;
    ///
    /// let seen = Rc::new(RefCell::new(None));
    /// let copy = Rc::clone(&seen);
    /// let test = AssertUnwindSafe(|| {
    ///     let mut world = World::new(7);
    ///     world.when_failed(move |evidence| *copy.borrow_mut() = Some(evidence.seed));
    ///     panic!("an assertion fails");
    /// });
    /// assert!(catch_unwind(test).is_err());
    /// assert_eq!(*seen.borrow(), Some(7));
    /// ```
    pub fn when_failed(&mut self, witness: impl FnMut(&Evidence) + 'static) {
        self.witness = Some(Witness(Box::new(witness)));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(Witness(mut witness)) = self.witness.take()
        {
            witness(&self.evidence());
        }
    }
}

/// A record as the tracer has it.
fn observation(frame: u64, record: &Record) -> Observation<'_> {
    let datagram = &record.datagram;
    let public_source = record.public_source;
    let inner_destination = record.inner_destination;
    Observation {
        frame,
        time: Duration::from_nanos(record.at.as_nanos()),
        source: datagram.source,
        destination: datagram.destination,
        public_source: (public_source != datagram.source).then_some(public_source),
        inner_destination: (inner_destination != datagram.destination).then_some(inner_destination),
        ttl: datagram.ttl,
        payload: record.payload(),
        cut: false,
        fate: fate(record.fate),
    }
}

/// Where a datagram ended, and why.
fn fate(fate: Fate) -> Option<teredo_trace::Fate> {
    let by = match fate {
        Fate::InFlight => return None,
        Fate::Delivered { .. } => return Some(teredo_trace::Fate::Delivered),
        Fate::Refused(Refusal::NoMapping | Refusal::Filtered) => Obstacle::ReceiverNat,
        Fate::Refused(Refusal::Exhausted | Refusal::NoHairpin) => Obstacle::SenderNat,
        Fate::NoListener => Obstacle::Receiver,
        _ => Obstacle::Network,
    };
    let reason = fate.to_string();
    let reason = reason.strip_prefix("refused by NAT: ").unwrap_or(&reason);
    Some(teredo_trace::Fate::Dropped {
        by,
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests;
