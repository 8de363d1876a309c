//! The evidence of a failed run.

use std::fmt;

use super::World;
use crate::capture::Vantage;

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
        Evidence {
            seed: self.seed,
            hash: self.capture.hash(),
            log: self.capture.to_string(),
            pcap: self.capture.to_pcap(Vantage::Public),
        }
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
