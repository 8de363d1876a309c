//! The journeys of datagrams, from captures on both sides of the NATs.
//!
//! A datagram begins at its host, and is seen again behind each NAT, with another source or destination and the same
//! payload. The last place at which it was seen tells where it ended.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use teredo_lab::{Discard, Frame, Side};
use teredo_trace::{Fate, Obstacle};

/// A datagram at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) time: SystemTime,
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) ttl: u8,
    pub(super) payload: Vec<u8>,
}

impl Sighting {
    /// The datagrams in a frame: several if the kernel has not cut up a train yet.
    pub(super) fn all(frame: &Frame) -> Vec<Self> {
        let Some(udp) = frame.udp() else {
            return Vec::new();
        };
        // The time to live is behind eight bytes of the IPv4 header.
        let ttl = frame.ip().and_then(|packet| packet.get(8)).copied();
        let sighting = |payload: &[u8]| Self {
            time: frame.time,
            from: udp.from,
            to: udp.to,
            ttl: ttl.unwrap_or_default(),
            payload: payload.to_vec(),
        };
        cut(udp.payload).into_iter().map(sighting).collect()
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

/// A place with a node: a client behind its NAT, or a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The addresses that its node sends from.
    pub(super) own: Vec<Ipv4Addr>,
    /// The addresses of the NAT that the Internet sees; without a NAT, the node's own.
    pub(super) public: Vec<Ipv4Addr>,
    /// The datagrams at the node.
    pub(super) inside: Vec<Sighting>,
    /// Those between the NAT and the Internet; without a NAT, the same.
    pub(super) outside: Vec<Sighting>,
    /// The datagrams that the NAT says it dropped.
    pub(super) discards: Vec<Discard>,
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
    let mut tracker = Tracker {
        places,
        used: BTreeSet::new(),
        mapped: BTreeSet::new(),
    };
    let mut starts: Vec<(usize, &Sighting)> = Vec::new();
    for (at, place) in places.iter().enumerate() {
        let own = place.inside.iter();
        let sent = own.filter(|sighting| place.own.contains(sighting.from.ip()));
        starts.extend(sent.map(|sighting| (at, sighting)));
    }
    starts.sort_by_key(|(_, sighting)| sighting.time);
    let journeys = starts
        .into_iter()
        .map(|(at, start)| tracker.follow(at, start));
    journeys.collect()
}

/// Follows datagrams, each sighting at most once.
struct Tracker<'a> {
    places: &'a [Place],
    /// Place, inside or outside, number.
    used: BTreeSet<(usize, bool, usize)>,
    /// The public ends that datagrams have left from.
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
        if start.to.ip().is_multicast() {
            return journey;
        }
        let places = self.places;
        let place = &places[at];
        let until = next(&place.inside, start, |again| again.to == start.to);
        let left = self.find(at, false, start, until, |seen| {
            seen.to == start.to && place.public.contains(seen.from.ip())
        });
        let Some(left) = left else {
            let reason = self.reason(place, Side::Inside, start);
            journey.fate = Some(dropped(Obstacle::SenderNat, reason, start));
            return journey;
        };
        self.mapped.insert(left.from);
        journey.public_source = (left.from != start.from).then_some(left.from);
        let target = places
            .iter()
            .position(|place| place.public.contains(start.to.ip()));
        let Some(target) = target else {
            journey.fate = Some(dropped(Obstacle::Network, "no such host".to_owned(), start));
            return journey;
        };
        let until = next(&place.outside, left, |again| {
            (again.from, again.to) == (left.from, left.to)
        });
        let came = self.find(target, false, left, until, |seen| {
            seen.from == left.from && seen.to == left.to
        });
        let Some(came) = came else {
            journey.fate = Some(dropped(Obstacle::Network, "lost".to_owned(), start));
            return journey;
        };
        let receiver = &places[target];
        let until = next(&receiver.outside, came, |again| again.from == came.from);
        let arrived = self.find(target, true, came, until, |seen| {
            seen.from == came.from && receiver.own.contains(seen.to.ip())
        });
        journey.fate = Some(match arrived {
            Some(arrived) => {
                journey.inner_destination = (arrived.to != start.to).then_some(arrived.to);
                Fate::Delivered
            }
            None => {
                let reason = self.reason(receiver, Side::Outside, came);
                dropped(Obstacle::ReceiverNat, reason, start)
            }
        });
        journey
    }

    /// The earliest sighting of a datagram at a place, behind its last sighting and before its repetition.
    fn find(
        &mut self,
        at: usize,
        inside: bool,
        last: &Sighting,
        until: Option<SystemTime>,
        mut fits: impl FnMut(&Sighting) -> bool,
    ) -> Option<&'a Sighting> {
        let place = &self.places[at];
        let seen = match inside {
            true => &place.inside,
            false => &place.outside,
        };
        let mut all = seen.iter().enumerate();
        let (number, sighting) = all.find(|(number, seen)| {
            seen.time >= last.time
                && until.is_none_or(|until| seen.time < until)
                && seen.payload == last.payload
                && fits(seen)
                && !self.used.contains(&(at, inside, *number))
        })?;
        self.used.insert((at, inside, number));
        Some(sighting)
    }

    /// Why a NAT dropped a datagram: as it says itself, or as its other datagrams show.
    fn reason(&self, place: &Place, side: Side, start: &Sighting) -> String {
        let said = place.discards.iter().find(|discard| {
            discard.side == side
                && discard.packet.ends_with(&start.payload)
                && discard.time.duration_since(start.time).unwrap_or_default()
                    < Duration::from_secs(1)
                && discard.time >= start.time
        });
        match (said, side) {
            (Some(discard), _) => discard.reason.to_string(),
            (None, Side::Inside) => String::from("it did not leave"),
            (None, Side::Outside) if self.mapped.contains(&start.to) => {
                format!(
                    "filtered: port {} is not open to that sender",
                    start.to.port()
                )
            }
            (None, Side::Outside) => format!("no mapping has port {}", start.to.port()),
        }
    }
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
        ..=3 if by != Obstacle::ReceiverNat => format!("its time to live of {} ran out", start.ttl),
        _ => reason,
    };
    Fate::Dropped { by, reason }
}

#[cfg(test)]
mod tests;
