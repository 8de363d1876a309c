//! The events that a data path reports to its owner.

use std::sync::Arc;
use std::time::Duration;

use crate::port::PortFallback;

/// An event of a data path. The callback runs on the data-path thread: it must pass the event on and return.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneEvent<E> {
    /// The state machine reports this.
    Node(E),
    /// This port is in use from now on.
    PortBound {
        /// The port.
        port: u16,
        /// Why it is not the port asked for.
        fell_back: Option<PortFallback>,
    },
    /// A gating subscriber did not settle in time, and the data path went on without it.
    SettleMissed {
        /// The announcement that was not settled.
        sequence: u64,
        /// The announced port.
        port: u16,
        /// How long the data path waited.
        waited: Duration,
    },
    /// The kernel refuses to send, receive or deliver. Reported once, until another error comes, the network changes or
    /// the client's state does.
    IoError {
        /// The operation that failed.
        operation: Operation,
        /// The kernel's reason.
        message: String,
    },
    /// A TCP flow began or a long packet came, either way, the first since the client qualified: now it matters which
    /// packets the path takes (see [`probe_path`](crate::client::ClientHandle::probe_path)).
    LongPackets,
    /// The interface was deleted; the data path has ended.
    InterfaceLost,
    /// A thread of the data path has ended by itself, for the reason in the log. The other threads do not take over its
    /// share.
    Ended,
}

/// An operation that the data path asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sending datagrams.
    Send,
    /// Receiving datagrams.
    Receive,
    /// Delivering packets to the host.
    Deliver,
    /// Taking packets from the host.
    Submit,
    /// Looking for other clients on the link (RFC 4380 §5.2.8).
    Discover,
    /// Looking for a longer refresh interval (RFC 4380 §5.2.7).
    Determine,
}

impl Operation {
    /// The operation's name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Submit => "submit",
            Self::Discover => "discover",
            Self::Determine => "determine",
        }
    }
}

/// The owner's callback, shared by all threads of a data path.
pub(crate) type Events<E> = Arc<dyn Fn(LaneEvent<E>) + Send + Sync>;

/// Reports [`LaneEvent::Ended`] if a thread ends before its end was [`expected`](Self::expected), panics included.
pub(crate) struct EndGuard<E> {
    events: Events<E>,
    expected: bool,
}

impl<E> EndGuard<E> {
    pub(crate) fn new(events: &Events<E>) -> Self {
        Self {
            events: Arc::clone(events),
            expected: false,
        }
    }

    /// The owner asked for the end, or knows of it already.
    pub(crate) fn expected(&mut self) {
        self.expected = true;
    }
}

impl<E> Drop for EndGuard<E> {
    fn drop(&mut self) {
        if !self.expected {
            (self.events)(LaneEvent::Ended);
        }
    }
}

#[cfg(test)]
mod tests;
