//! The way of datagrams to a peer, as the kernel's routing has it.
//!
//! A wrong answer does no harm: a peer whose datagrams leave another way is never proven, and user space carries its packets.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::net::{Outgoing, RouteLookup, mtu};

/// How long an answer is believed. A peer that is offered again and again costs no more questions.
const FRESH: Duration = Duration::from_secs(1);

/// The most answers that are kept.
const KEPT: usize = 64;

/// IPv4 and UDP.
const OUTER_HEADERS: u16 = 20 + 8;

/// The way to a destination, and the longest packet of a tunnel that takes it; none: there is none.
type Way = Option<(Outgoing, u16)>;

/// The kernel's answers. Neither question waits for the lock of all interfaces, which a change at the hooks holds for 10 ms and
/// more.
#[derive(Debug)]
pub(super) struct Ways {
    lookup: RouteLookup,
    /// By the lowest bits of the destination.
    known: Vec<Option<(Ipv4Addr, Instant, Way)>>,
}

impl Ways {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            lookup: RouteLookup::open()?,
            known: vec![None; KEPT],
        })
    }

    /// The way to a destination, and the longest packet of a tunnel that takes it in one datagram.
    pub(super) fn to(
        &mut self,
        destination: Ipv4Addr,
        source: Option<Ipv4Addr>,
    ) -> Option<(Outgoing, u16)> {
        let now = Instant::now();
        let known = &mut self.known[destination.to_bits() as usize % KEPT];
        match known {
            Some((of, at, way)) if *of == destination && now < *at + FRESH => *way,
            _ => {
                let way = self.lookup.outgoing(destination, source);
                let way = way.ok().flatten().and_then(|way| {
                    let mtu = mtu(destination, source).ok()?;
                    let mtu = way.mtu.map_or(mtu, |of_way| mtu.min(of_way));
                    Some((way, mtu.saturating_sub(OUTER_HEADERS)))
                });
                *known = Some((destination, now, way));
                way
            }
        }
    }

    /// The network has changed.
    pub(super) fn forget(&mut self) {
        self.known.fill(None);
    }
}
