//! The way of datagrams to a peer, as the kernel's routing has it.
//!
//! A wrong answer does no harm: a peer whose datagrams leave another way is never proven, and user space carries its packets.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::net::{Outgoing, RouteLookup};

/// How long an answer is believed. A peer that is offered again and again costs no more questions.
const FRESH: Duration = Duration::from_secs(1);

/// The most answers that are kept.
const KEPT: usize = 64;

/// IPv4 and UDP.
const OUTER_HEADERS: u16 = 20 + 8;

/// The kernel's answers.
#[derive(Debug)]
pub(super) struct Ways {
    lookup: RouteLookup,
    /// By the lowest bits of the destination.
    known: Vec<Option<(Ipv4Addr, Instant, Option<Outgoing>)>>,
    /// The MTUs of interfaces.
    mtus: BTreeMap<u32, (Instant, u16)>,
}

impl Ways {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            lookup: RouteLookup::open()?,
            known: vec![None; KEPT],
            mtus: BTreeMap::new(),
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
        let way = match known {
            Some((of, at, way)) if *of == destination && now < *at + FRESH => *way,
            _ => {
                let way = self.lookup.outgoing(destination, source);
                let way = way.unwrap_or_default();
                *known = Some((destination, now, way));
                way
            }
        };
        let way = way?;
        let mtu = self.mtu(way.link, now)?;
        let mtu = way.mtu.map_or(mtu, |of_way| mtu.min(of_way));
        Some((way, mtu.saturating_sub(OUTER_HEADERS)))
    }

    fn mtu(&mut self, link: u32, now: Instant) -> Option<u16> {
        if let Some(&(at, mtu)) = self.mtus.get(&link)
            && now < at + FRESH
        {
            return Some(mtu);
        }
        let mtu = self.lookup.mtu(link).ok()?;
        if self.mtus.len() >= KEPT {
            self.mtus.clear();
        }
        self.mtus.insert(link, (now, mtu));
        Some(mtu)
    }

    /// The network has changed.
    pub(super) fn forget(&mut self) {
        self.known.fill(None);
        self.mtus.clear();
    }
}
