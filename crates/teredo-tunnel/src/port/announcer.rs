//! Who learns of the port before it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Announces the service port to the subscribers that open firewalls for it, and knows whether they have.
///
/// Called on the data-path thread, so neither method may block. When an announcement becomes settled, the implementor
/// calls [`Waker::wake`](crate::Waker::wake) of the data path's waker.
pub trait PortAnnouncer: Send {
    /// Announces the port in use, 0 for none, and returns the announcement's sequence number.
    fn announce(&mut self, port: u16) -> u64;

    /// Whether every gating subscriber has confirmed the announcement `sequence`, or a later one.
    fn is_settled(&self, sequence: u64) -> bool;

    /// Announces the random ports in use, in ascending order (RFC 6081 §5.4), and returns the number of this
    /// announcement, for [`admission`](Self::admission). They are announced to firewalls alone.
    fn announce_random(&mut self, ports: &[u16]) -> u64 {
        let _ = ports;
        0
    }

    /// Whether the random ports of this announcement may be used. By default they may not, so that no firewall is taken
    /// for open that was not asked.
    fn admission(&self, sequence: u64) -> Admission {
        let _ = sequence;
        Admission::Refused
    }
}

/// The firewalls' answer about random ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Every firewall admits datagrams to them, or there is none.
    Admitted,
    /// A firewall has not answered yet.
    Pending,
    /// A firewall does not admit them.
    Refused,
}

/// For a relay's lanes but the first: they serve when the first one does, which announces the port for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follow(Arc<AtomicBool>);

impl Follow {
    /// The first lane serves.
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl PortAnnouncer for Follow {
    fn announce(&mut self, _port: u16) -> u64 {
        0
    }

    fn is_settled(&self, _sequence: u64) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
