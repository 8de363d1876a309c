//! The nodes of the internet: state machines with a place in the world, and sockets that tests play themselves.

mod client;
mod raw;
mod relay;
mod server;
mod station;

use std::fmt;

use teredo::{Instant, Timer};

pub use self::client::ClientHost;
pub use self::raw::{Arrival, Outbox, RawHost};
pub use self::relay::RelayHost;
pub use self::server::ServerHost;
use crate::capture::Datagram;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $variant:ident, $text:literal;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(pub(crate) usize);

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

        /// Any host. Identifiers are given out by a world and mean nothing in another.
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

/// Something, and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    /// When.
    pub at: Instant,
    /// What.
    pub what: T,
}

/// What a host does after it was called.
#[derive(Debug)]
pub(crate) enum Action {
    /// Put this on the link.
    Send(Datagram),
    /// Hand this to the native IPv6 Internet.
    Native(Vec<u8>),
}

/// The deadline that a state machine has asked for, as the world has scheduled it.
///
/// The schedule cannot take events back; an alarm that was replaced is known by its number and ignored.
#[derive(Debug, Default)]
struct Alarm {
    deadline: Option<(Instant, Timer)>,
    number: u64,
    /// Wake-ups at one and the same instant.
    repeated: (Instant, u32),
}

/// Wake-ups at one instant that still count as work; the loop spins if there are more.
const MAX_WAKE_UPS: u32 = 10_000;

impl Alarm {
    /// Takes note of what `poll_timeout` returned: when to wake the host, and by which number, if that is news.
    fn set(&mut self, deadline: Option<(Instant, Timer)>) -> Option<(Instant, u64)> {
        if deadline == self.deadline {
            return None;
        }
        self.deadline = deadline;
        self.number += 1;
        deadline.map(|(at, _)| (at, self.number))
    }

    /// Whether the alarm of this number still counts.
    ///
    /// # Panics
    ///
    /// If the state machine asks again and again to be woken at the same instant, for its time would stand still.
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
