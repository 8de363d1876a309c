//! The journeys of datagrams, from captures on both sides of the NATs.
//!
//! A datagram begins at its host, and is seen again behind each NAT, with another source or destination and the same
//! payload. The last place at which it was seen tells where it ended.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use teredo_lab::{Discard, DiscardReason, Frame, Side};
use teredo_nat::Refusal;
use teredo_trace::{Fate, Obstacle};

/// A datagram at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) time: SystemTime,
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) ttl: u8,
    /// The identification in the IPv4 header, which no NAT changes. Zero if the sender uses none.
    pub(super) id: u16,
    pub(super) payload: Vec<u8>,
}

impl Sighting {
    /// The datagrams in a frame: several if the kernel has not cut up a train yet.
    pub(super) fn all(frame: &Frame) -> Vec<Self> {
        let Some(udp) = frame.udp() else {
            return Vec::new();
        };
        // RFC 791 §3.1: the identification is behind four bytes, the time to live behind eight.
        let header = |at: usize| frame.ip().and_then(|packet| packet.get(at)).copied();
        let [high, low, ttl] = [4, 5, 8].map(|at| header(at).unwrap_or_default());
        let first = u16::from_be_bytes([high, low]);
        let datagrams = cut(udp.payload).into_iter();
        // The kernel numbers the parts of a train in sequence.
        let sighting = |(number, payload): (u16, &[u8])| Self {
            time: frame.time,
            from: udp.from,
            to: udp.to,
            ttl,
            id: match first {
                0 => 0,
                first => first.wrapping_add(number),
            },
            payload: payload.to_vec(),
        };
        (0..).zip(datagrams).map(sighting).collect()
    }
}

/// Cuts a train of IPv6 packets. Trailers behind a packet (RFC 6081 §4) do not begin like a packet.
fn cut(train: &[u8]) -> Vec<&[u8]> {
    const HEADER: usize = 40;
    let is_packet = |bytes: &[u8]| bytes.len() >= HEADER && bytes[0] >> 4 == 6;
    let mut packets = Vec::new();
    let mut rest = train;
    while is_packet(rest) {
        let length = HEADER + usize::from(u16::from_be_bytes([rest[4], rest[5]]));
        match rest.split_at_checked(length) {
            Some((packet, behind)) if is_packet(behind) => {
                packets.push(packet);
                rest = behind;
            }
            _ => break,
        }
    }
    packets.push(rest);
    packets
}

/// A place with a node: a client behind its NATs, or a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The addresses that its node sends from.
    pub(super) own: Vec<Ipv4Addr>,
    /// The datagrams at the node.
    pub(super) inside: Vec<Sighting>,
    /// The routers in front of it, from the node to the Internet.
    pub(super) routers: Vec<Router>,
}

/// A router, which may be a NAT.
#[derive(Clone, Debug, Default)]
pub(super) struct Router {
    /// The addresses of its NAT on the side of the Internet; without a NAT, those of the node.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// The datagrams on that side.
    pub(super) outside: Vec<Sighting>,
    /// The datagrams that the NAT says it dropped.
    pub(super) discards: Vec<Discard>,
}

impl Place {
    /// The addresses on this level: that of the node, or that outside of so many routers.
    fn addresses(&self, level: usize) -> &[Ipv4Addr] {
        let router = level.checked_sub(1).and_then(|at| self.routers.get(at));
        router.map_or(&self.own, |router| &router.addresses)
    }

    fn seen(&self, level: usize) -> &[Sighting] {
        let router = level.checked_sub(1).and_then(|at| self.routers.get(at));
        router.map_or(&self.inside, |router| &router.outside)
    }

    /// The level of the Internet.
    fn outermost(&self) -> usize {
        self.routers.len()
    }
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journey {
    /// When and how it began.
    pub(super) start: Sighting,
    /// Its source behind the NAT.
    pub(super) public_source: Option<SocketAddrV4>,
    /// Its destination behind the receiver's NAT.
    pub(super) inner_destination: Option<SocketAddrV4>,
    /// Its end; `None` for a datagram to a group.
    pub(super) fate: Option<Fate>,
}

/// The journeys of all datagrams, in the order of their beginning.
pub(super) fn journeys(places: &[Place]) -> Vec<Journey> {
    let mut starts: Vec<(usize, &Sighting)> = Vec::new();
    for (at, place) in places.iter().enumerate() {
        let own = place.inside.iter();
        let sent = own.filter(|sighting| place.own.contains(sighting.from.ip()));
        starts.extend(sent.map(|sighting| (at, sighting)));
    }
    starts.sort_by_key(|(_, sighting)| sighting.time);
    let marked = starts.iter().filter(|(_, start)| start.id != 0);
    let mut tracker = Tracker {
        places,
        marks: marked
            .map(|(_, start)| (start.id, &start.payload[..]))
            .collect(),
        used: BTreeSet::new(),
        mapped: BTreeSet::new(),
    };
    let journeys = starts
        .into_iter()
        .map(|(at, start)| tracker.follow(at, start));
    journeys.collect()
}

/// Follows datagrams, each sighting at most once.
struct Tracker<'a> {
    places: &'a [Place],
    /// Identification and payload of all datagrams.
    marks: BTreeSet<(u16, &'a [u8])>,
    /// Place, level, number.
    used: BTreeSet<(usize, usize, usize)>,
    /// The outer ends that datagrams have left from, of all NATs.
    mapped: BTreeSet<SocketAddrV4>,
}

impl<'a> Tracker<'a> {
    fn follow(&mut self, at: usize, start: &Sighting) -> Journey {
        let mut journey = Journey {
            start: start.clone(),
            public_source: None,
            inner_destination: None,
            fate: None,
        };
        if !start.to.ip().is_multicast() {
            journey.fate = Some(match self.pass(at, start, &mut journey) {
                Ok(()) => Fate::Delivered,
                Err((by, reason)) => dropped(by, reason, start),
            });
        }
        journey
    }

    /// Follows a datagram from its host to its receiver; the error says where it ended, and why.
    fn pass(
        &mut self,
        at: usize,
        start: &Sighting,
        journey: &mut Journey,
    ) -> Result<(), (Obstacle, String)> {
        let places = self.places;
        let place = &places[at];
        let mut last = start;
        for level in 1..=place.outermost() {
            let addresses = place.addresses(level);
            let (from, to) = (last.from, last.to);
            let until = next(place.seen(level - 1), last, |again| {
                (again.from, again.to) == (from, to)
            });
            let left = self.find(at, level, last, until, |seen| {
                seen.to == to && addresses.contains(seen.from.ip())
            });
            let Some(left) = left else {
                let by = match level {
                    1 => Obstacle::SenderNat,
                    _ => Obstacle::SenderCarrierNat,
                };
                return Err((
                    by,
                    self.reason(&place.routers[level - 1], Side::Inside, last),
                ));
            };
            self.mapped.insert(left.from);
            last = left;
        }
        journey.public_source = (last.from != start.from).then_some(last.from);
        let is_target = |place: &Place| place.addresses(place.outermost()).contains(start.to.ip());
        let Some(target) = places.iter().position(is_target) else {
            return Err((Obstacle::Network, String::from("no such host")));
        };
        let receiver = &places[target];
        let (from, to) = (last.from, last.to);
        let until = next(place.seen(place.outermost()), last, |again| {
            (again.from, again.to) == (from, to)
        });
        let came = self.find(target, receiver.outermost(), last, until, |seen| {
            (seen.from, seen.to) == (from, to)
        });
        last = came.ok_or_else(|| (Obstacle::Network, String::from("lost")))?;
        for level in (0..receiver.outermost()).rev() {
            let addresses = receiver.addresses(level);
            let until = next(receiver.seen(level + 1), last, |again| again.from == from);
            let passed = self.find(target, level, last, until, |seen| {
                seen.from == from && addresses.contains(seen.to.ip())
            });
            let Some(passed) = passed else {
                let by = match level {
                    0 => Obstacle::ReceiverNat,
                    _ => Obstacle::ReceiverCarrierNat,
                };
                return Err((
                    by,
                    self.reason(&receiver.routers[level], Side::Outside, last),
                ));
            };
            last = passed;
        }
        journey.inner_destination = (last.to != start.to).then_some(last.to);
        Ok(())
    }

    /// The sighting of a datagram on the next level of a place: the one with its identification, or else the earliest
    /// that is no other's and before its repetition.
    fn find(
        &mut self,
        at: usize,
        level: usize,
        last: &Sighting,
        until: Option<SystemTime>,
        fits: impl Fn(&Sighting) -> bool,
    ) -> Option<&'a Sighting> {
        let all = self.places[at].seen(level).iter().enumerate();
        let candidates: Vec<(usize, &Sighting)> = all
            .filter(|(number, seen)| {
                seen.time >= last.time
                    && seen.payload == last.payload
                    && fits(seen)
                    && !self.used.contains(&(at, level, *number))
            })
            .collect();
        let is_own = |seen: &Sighting| seen.id != 0 && seen.id == last.id;
        let may_be_own = |seen: &Sighting| {
            until.is_none_or(|until| seen.time < until)
                && !self.marks.contains(&(seen.id, &seen.payload[..]))
        };
        let found = candidates.iter().find(|(_, seen)| is_own(seen));
        let found = found.or_else(|| candidates.iter().find(|(_, seen)| may_be_own(seen)));
        let (number, sighting) = *found?;
        self.used.insert((at, level, number));
        Some(sighting)
    }

    /// Why a router dropped a datagram: as it says itself, or as its other datagrams show.
    fn reason(&self, router: &Router, side: Side, last: &Sighting) -> String {
        let said = router.discards.iter().find(|discard| {
            discard.side == side
                && discard.packet.ends_with(&last.payload)
                && discard.time.duration_since(last.time).unwrap_or_default()
                    < Duration::from_secs(1)
                && discard.time >= last.time
        });
        let port = last.to.port();
        match (said.map(|discard| discard.reason), side) {
            (Some(DiscardReason::Refused(Refusal::Filtered)), Side::Outside) => filtered(port),
            (Some(DiscardReason::Refused(Refusal::NoMapping)), Side::Outside) => unmapped(port),
            (Some(reason), _) => reason.to_string(),
            (None, Side::Inside) => String::from("it did not leave"),
            (None, Side::Outside) if self.mapped.contains(&last.to) => filtered(port),
            (None, Side::Outside) => unmapped(port),
        }
    }
}

fn filtered(port: u16) -> String {
    format!("filtered: port {port} is not open to that sender")
}

fn unmapped(port: u16) -> String {
    format!("no mapping has port {port}")
}

/// When the same payload was seen again at the same place, with ends that could be taken for the datagram's behind it.
fn next(
    seen: &[Sighting],
    one: &Sighting,
    is_alike: impl Fn(&Sighting) -> bool,
) -> Option<SystemTime> {
    let mut later = seen
        .iter()
        .filter(|again| again.time > one.time && again.payload == one.payload && is_alike(again));
    later.next().map(|again| again.time)
}

fn dropped(by: Obstacle, reason: String, start: &Sighting) -> Fate {
    // A bubble that only opens the NAT on its way out.
    let reason = match start.ttl {
        ..=3 if !matches!(by, Obstacle::ReceiverCarrierNat | Obstacle::ReceiverNat) => {
            format!("its time to live of {} ran out", start.ttl)
        }
        _ => reason,
    };
    Fate::Dropped { by, reason }
}

#[cfg(test)]
mod tests;
