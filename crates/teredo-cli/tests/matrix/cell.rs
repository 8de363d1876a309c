//! A cell of the matrix, and its parts.

use std::fmt;

use teredo_lab::NatKind;

/// Who made a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Make {
    Ours,
    Miredo,
}

impl Make {
    pub(crate) const ALL: [Self; 2] = [Self::Ours, Self::Miredo];
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Miredo => "miredo",
        })
    }
}

/// A client, and the router that it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) client: Make,
    pub(crate) nat: NatKind,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.client, self.nat))
    }
}

/// Two clients, the first of which begins, their server, and the relay between them and a native host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) left: Home,
    pub(crate) right: Home,
    pub(crate) server: Make,
    pub(crate) relay: Make,
}

impl Cell {
    /// Whether there is a way at all.
    ///
    /// A `miredo` client that begins sends its direct bubble all the way. A router whose own input is open takes it for
    /// its own, and the answer of the client behind it leaves from another port. Observed, with `miredo` behind it and
    /// with ours: of 12 echo requests in 16 s none is answered. The router's conntrack has the bubble, from
    /// 198.51.100.1:46384 to 203.0.113.1:42814, as `[UNREPLIED]` and renews it with each further one; the answers to
    /// 198.51.100.1:46384 leave from 203.0.113.1:28127, which the router in front of `miredo` lets nobody in from. The
    /// client that answers cannot do anything about it. Our client can, when it begins: see `teredo::client`'s
    /// `opening`.
    pub(crate) fn is_possible(&self) -> bool {
        !(self.left.client == Make::Miredo && self.right.nat == NatKind::OpenInput)
    }

    /// Its parts, each by the number of what it is.
    pub(crate) fn parts(&self) -> [usize; 6] {
        let nat = |kind| {
            NATS.iter()
                .position(|other| *other == kind)
                .unwrap_or(NATS.len())
        };
        [
            self.left.client as usize,
            nat(self.left.nat),
            self.right.client as usize,
            nat(self.right.nat),
            self.server as usize,
            self.relay as usize,
        ]
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            left,
            right,
            server,
            relay,
        } = self;
        write!(f, "{left} to {right}, server {server}, relay {relay}")
    }
}

/// The NATs that there is a way through.
pub(crate) const NATS: [NatKind; 4] = [
    NatKind::Cone,
    NatKind::Restricted,
    NatKind::PortRestricted,
    NatKind::OpenInput,
];
