//! The ladder diagram: a column for each node and each known NAT, and a row for each datagram.
//!
//! [`Ladder::new`] lays it out once; [`Ladder::text`] and [`Ladder::svg`] draw it.

mod bursts;
mod columns;
mod svg;
mod text;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use crate::finding::{Finding, Grade};
use crate::kind::Kind;
use crate::observation::{Fate, Obstacle};
use crate::trace::{Packet, Trace};
use bursts::Bursts;
use columns::Columns;

/// A pause that is marked between two rows.
const GAP: Duration = Duration::from_secs(3);
/// Data of one flow is one row if no more time than this passes within it.
const FLOW_GAP: Duration = Duration::from_millis(1500);
/// More rows than this are no picture any more.
const MOST_ROWS: usize = 5000;

/// A ladder diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ladder {
    /// The columns from left to right.
    pub columns: Vec<Column>,
    /// The rows from top to bottom, at most 5000.
    pub rows: Vec<Row>,
    /// How many packets come after the last row.
    pub left_out: usize,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The name of the node, or `NAT`.
    pub title: String,
    /// Its addresses, one a line.
    pub lines: Vec<String>,
    /// Whether it is a NAT.
    pub is_nat: bool,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// A datagram, or several of one flow or one burst.
    Arrow(Arrow),
    /// Nothing happened for so long.
    Gap(Duration),
}

/// A datagram, or several of one flow or one burst.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrow {
    /// The number of the first packet; `None` of a [`RouterMessage`](crate::RouterMessage).
    pub n: Option<u64>,
    /// How many packets it stands for.
    pub count: usize,
    /// When the first one was captured, after the first packet of all.
    pub at: Duration,
    /// The kind; `None` of a [`RouterMessage`](crate::RouterMessage).
    pub kind: Option<Kind>,
    /// The column of the sender.
    pub from: usize,
    /// The column of the receiver.
    pub to: usize,
    /// Whether some went the other way.
    pub both: bool,
    /// The columns of the NATs that it passes.
    pub via: Vec<usize>,
    /// The place where it ended, if it did not arrive.
    pub crossing: Option<Crossing>,
    /// Its name.
    pub label: String,
    /// The worst of its findings.
    pub tone: Tone,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// The end of a datagram that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crossing {
    /// The place between the columns, in halves of a column: 3 is between the second and the third.
    pub halves: usize,
    /// Why.
    pub reason: String,
}

/// The colour of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Tone {
    /// Nothing is wrong.
    Plain,
    /// Something is worth knowing.
    Note,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Fail,
}

impl From<Option<Grade>> for Tone {
    fn from(worst: Option<Grade>) -> Self {
        match worst {
            None => Self::Plain,
            Some(Grade::Note) => Self::Note,
            Some(Grade::Warn) => Self::Warn,
            Some(Grade::Fail) => Self::Fail,
        }
    }
}

impl Ladder {
    /// The ladder of a trace.
    pub fn new(trace: &Trace) -> Self {
        let columns = Columns::new(trace);
        let bursts = Bursts::of(&trace.packets);
        let mut rows: Vec<Row> = Vec::new();
        let mut messages = trace.router_messages.iter().peekable();
        let mut flow: Option<Flow<'_>> = None;
        let mut last: Option<&Packet> = None;
        let mut left_out = 0;
        for packet in &trace.packets {
            let pause = last.map(|last| packet.at().saturating_sub(last.at()));
            last = Some(packet);
            let burst = bursts.with(packet);
            let last_n = |rows: &[Row]| match rows.last() {
                Some(Row::Arrow(row)) => row.n,
                _ => None,
            };
            // The row of its first packet has all of them. If that was left out, so is the rest.
            if burst.is_some_and(|burst| burst.first != packet.n) {
                continue;
            }
            if left_out == 0
                && burst.is_none()
                && let Some(flow) = &mut flow
                && last_n(&rows) == Some(flow.first.n)
                && let Some(Row::Arrow(row)) = rows.last_mut()
                && flow.takes(packet)
            {
                row.count += 1;
                row.both |= packet.from_node != flow.first.from_node;
                row.label = format!(
                    "{}{}",
                    flow.words(row.count),
                    columns.ends(trace, flow.first)
                );
                continue;
            }
            while left_out == 0
                && rows.len() < MOST_ROWS
                && let Some(message) = messages.next_if(|message| message.at <= packet.at())
            {
                rows.extend(columns.message(trace, message).map(Row::Arrow));
            }
            let pause = pause.filter(|pause| *pause >= GAP);
            // Once one row was left out, all further ones are.
            if left_out > 0 || rows.len() + usize::from(pause.is_some()) >= MOST_ROWS {
                left_out += burst.map_or(1, |burst| burst.count);
                continue;
            }
            rows.extend(pause.map(Row::Gap));
            let mut arrow = columns.arrow(trace, packet);
            if let Some(burst) = burst {
                arrow.count = burst.count;
                arrow.label = columns.burst(trace, packet, burst);
                if let (Some(crossing), Some(reason)) = (&mut arrow.crossing, &burst.reason) {
                    crossing.reason.clone_from(reason);
                }
            }
            rows.push(Row::Arrow(arrow));
            flow = Some(Flow::new(packet));
        }
        let room = MOST_ROWS.saturating_sub(rows.len());
        if left_out == 0 {
            let rest = messages.filter_map(|message| columns.message(trace, message));
            rows.extend(rest.take(room).map(Row::Arrow));
        }
        Self {
            columns: columns.into_columns(),
            rows,
            left_out,
        }
    }
}

/// The packets of the last row: one, or the data of one flow.
struct Flow<'a> {
    first: &'a Packet,
    last: &'a Packet,
    bytes: usize,
    /// Source and destination of the packets of each direction.
    ends: [Option<[SocketAddrV4; 2]>; 2],
    carries: Option<&'a str>,
}

const ECHOES: [&str; 2] = ["ICMPv6 echo request", "ICMPv6 echo reply"];

impl<'a> Flow<'a> {
    fn new(packet: &'a Packet) -> Self {
        Self {
            first: packet,
            last: packet,
            bytes: packet.length,
            ends: [Some([packet.from, packet.to]), None],
            carries: packet.carries.as_deref(),
        }
    }

    /// Takes in a packet that continues the data, with the same fate and nothing to say about either.
    fn takes(&mut self, packet: &'a Packet) -> bool {
        let first = self.first;
        let is_plain = |packet: &Packet| packet.kind == Kind::Data && packet.findings.is_empty();
        let was_dropped = matches!(first.fate, Some(Fate::Dropped { .. }));
        let same_fate = match &packet.fate {
            Some(Fate::Dropped { .. }) => packet.fate == first.fate,
            _ => !was_dropped,
        };
        let same = first.from_node == packet.from_node && first.to_node == packet.to_node;
        let back = first.from_node == packet.to_node && first.to_node == packet.from_node;
        let way = usize::from(!same);
        let own = [packet.from, packet.to];
        let carries = packet.carries.as_deref();
        let is_echo =
            |carries: Option<&str>| carries.is_some_and(|carries| ECHOES.contains(&carries));
        let is_one = is_plain(first)
            && is_plain(packet)
            && same_fate
            && (same || back && !was_dropped)
            && self.ends[way].is_none_or(|ends| ends == own)
            && (self.carries == carries || is_echo(first.carries.as_deref()) && is_echo(carries))
            && self.pause(packet) <= FLOW_GAP;
        if is_one {
            self.ends[way] = Some(own);
            self.last = packet;
            self.bytes += packet.length;
            self.carries = self.carries.filter(|_| self.carries == carries);
        }
        is_one
    }

    fn pause(&self, packet: &Packet) -> Duration {
        Duration::from_micros(packet.at_us.saturating_sub(self.last.at_us))
    }

    fn words(&self, count: usize) -> String {
        let carries = match (self.carries, &self.first.carries) {
            (Some(carries), _) => carries,
            (None, Some(_)) => "ICMPv6 echo requests and replies",
            (None, None) => "data",
        };
        format!("{carries}, {count} packets, {}", size(self.bytes))
    }
}

fn size(bytes: usize) -> String {
    if bytes < 10_000 {
        format!("{bytes} B")
    } else {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    }
}

/// The first characters of a text, and a sign that there are more.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The name of a datagram, and its special features.
fn label(packet: &Packet) -> String {
    let host = |address: Option<Ipv6Addr>| {
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    let mut label = match packet.kind {
        Kind::Solicitation if packet.cone == Some(true) => String::from("solicitation, cone bit"),
        Kind::Advertisement => match packet.origin {
            Some(origin) => format!("advertisement: you are {origin}"),
            None => String::from("advertisement"),
        },
        Kind::IndirectBubble => match packet.origin {
            Some(origin) => format!("indirect bubble of {origin}"),
            None => String::from("indirect bubble"),
        },
        Kind::PingRequest => format!("ping test to {}", host(packet.destination)),
        Kind::PingReply => format!("ping reply of {}", host(packet.source)),
        Kind::Data => match (packet.carries.as_deref(), packet.train) {
            (Some(carries), 1) => format!("{carries}, {}", size(packet.length)),
            (carries, train) => format!(
                "{}, {train} packets, {}",
                carries.unwrap_or("data"),
                size(packet.length)
            ),
        },
        kind => kind.words().to_owned(),
    };
    for trailer in &packet.trailers {
        label.push_str(", ");
        label.push_str(&trailer.words());
    }
    label
}

/// Where a dropped datagram ends, in halves of a column.
fn halves(by: Obstacle, from: usize, to: usize, nats: [&[usize]; 2]) -> usize {
    let [inner, outer] =
        [<[usize]>::first, <[usize]>::last].map(|of| nats.map(|nats| of(nats).copied()));
    let ([sender_nat, receiver_nat], [sender_carrier, receiver_carrier]) = (inner, outer);
    let between = |from: usize, to: usize| match from + to {
        // On the line of a node that has nothing to do with it: a little before.
        middle if middle % 2 == 0 && from < to => middle - 1,
        middle if middle % 2 == 0 && from > to => middle + 1,
        middle => middle,
    };
    let nat = match by {
        Obstacle::SenderNat => sender_nat,
        Obstacle::SenderCarrierNat => sender_carrier,
        Obstacle::ReceiverCarrierNat => receiver_carrier,
        Obstacle::ReceiverNat => receiver_nat,
        Obstacle::Receiver => Some(to),
        Obstacle::Network => None,
    };
    nat.map_or_else(
        || {
            between(
                sender_carrier.unwrap_or(from),
                receiver_carrier.unwrap_or(to),
            )
        },
        |nat| 2 * nat,
    )
}

#[cfg(test)]
mod tests;
