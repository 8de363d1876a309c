//! The hosts: state machines with their ports, and raw sockets for tests.

mod client;
mod journal;
mod raw;
mod relay;
mod server;
mod station;

use std::fmt;

use teredo::client::Event;
use teredo::{Instant, Timer};

pub use self::client::{ClientHost, PortFirewall};
pub(crate) use self::journal::KEPT;
pub use self::raw::{Arrival, Outbox, RawHost};
pub use self::relay::RelayHost;
pub use self::server::ServerHost;
use crate::datagram::Datagram;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $variant:ident, $text:literal;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(pub(crate) usize);

            impl $name {
                /// The number of hosts of this kind that were attached before.
                pub fn number(self) -> usize {
                    self.0
                }
            }

            impl From<$name> for HostId {
                fn from(id: $name) -> Self {
                    Self::$variant(id)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}{}", $text, self.0)
                }
            }
        )+

        /// The identifier of a host, valid only in the world that made it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum HostId {
            $($(#[doc = $doc])+ $variant($name),)+
        }

        impl fmt::Display for HostId {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(id) => id.fmt(f),)+
                }
            }
        }
    };
}

ids! {
    /// A [`ClientHost`].
    ClientId = Client, "client";
    /// A [`ServerHost`].
    ServerId = Server, "server";
    /// A [`RelayHost`].
    RelayId = Relay, "relay";
    /// A [`RawHost`].
    RawId = Raw, "raw";
}

/// A value with the time of its occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    /// The time.
    pub at: Instant,
    /// The value.
    pub what: T,
}

/// An action of a host after a call.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this over the link.
    Send(Datagram),
    /// Send this to the native IPv6 Internet.
    Native(Vec<u8>),
    /// Hand this packet to the host.
    Deliver(Vec<u8>),
    /// Tell the host of this.
    Tell(Event),
}

/// The scheduled deadline of a state machine.
///
/// The schedule cannot remove events. An alarm that was replaced is recognised by its number and ignored.
#[derive(Debug, Default)]
struct Alarm {
    deadline: Option<(Instant, Timer)>,
    number: u64,
    /// Wake-ups at the same instant.
    repeated: (Instant, u32),
}

/// The most wake-ups at one instant; the loop spins if there are more.
const MAX_WAKE_UPS: u32 = 10_000;

impl Alarm {
    /// Records the result of `poll_timeout`. If it has changed, returns when to wake the host, and the alarm's number.
    fn set(&mut self, deadline: Option<(Instant, Timer)>) -> Option<(Instant, u64)> {
        if deadline == self.deadline {
            return None;
        }
        self.deadline = deadline;
        self.number += 1;
        deadline.map(|(at, _)| (at, self.number))
    }

    /// Whether the alarm of this number is current.
    ///
    /// # Panics
    ///
    /// If the state machine is woken too often at the same instant, because virtual time would stand still.
    fn rings(&mut self, now: Instant, number: u64) -> bool {
        if number != self.number {
            return false;
        }
        let timer = self.deadline.take().map(|(_, timer)| timer);
        self.repeated = if self.repeated.0 == now {
            (now, self.repeated.1 + 1)
        } else {
            (now, 1)
        };
        assert!(
            self.repeated.1 < MAX_WAKE_UPS,
            "the state machine spins at {now:?} on {timer:?}"
        );
        true
    }
}
