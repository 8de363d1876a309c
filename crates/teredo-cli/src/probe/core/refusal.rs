//! Errors of the network and of the kernel on what was sent.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;
use teredo::wire::PORT;

use super::{Core, KNOCKS, Own};

const MAX_REFUSALS: usize = 64;

/// Why a datagram does not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// ICMP: no process has the port.
    NoPort,
    /// ICMP: no way to the host or its network.
    Unreachable,
    /// ICMP: a firewall forbids it.
    Prohibited,
    /// The kernel forbids it (EPERM): a rule of this host.
    Blocked,
    /// The kernel has no route.
    NoRoute,
    /// Anything else that the kernel says.
    Other(String),
}

/// A refusal, and the host that sent the ICMP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) by: Option<Ipv4Addr>,
}

impl Core {
    /// Takes in an error about a datagram that `from` sent to `to`. Anybody on the way can forge one, so it explains
    /// silence, and never outweighs an answer.
    pub(in crate::probe) fn refused(
        &mut self,
        now: Instant,
        from: usize,
        to: SocketAddrV4,
        refused: Refused,
    ) {
        self.now = self.now.max(now);
        let from_primary = refused.by == Some(self.server.primary);
        if *to.ip() == self.server.primary && KNOCKS.contains(&to.port()) && from_primary {
            self.knocked |= from == Own::Knocker as usize;
            self.host_is_there = true;
        }
        if to.port() == PORT && self.refusals.len() < MAX_REFUSALS {
            self.refusals.push((to, refused));
        }
        self.tick(now);
    }
}
