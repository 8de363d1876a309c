//! The whole trace of a capture: the object of schema `teredo.trace/1`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use teredo::wire::protocol;

use crate::capture::{CaptureError, Damage, Frames};
use crate::contents::{Contents, Message, is_cone};
use crate::finding::{Finding, Grade};
use crate::judge::{Judge, Verdict, View};
use crate::kind::Kind;
use crate::nodes::{KnownNat, Node, OTHERS, Register, Role};
use crate::observation::{Fate, Observation};
use crate::outer::{Layer, Outer, Udp};
use crate::questions::Questions;
use crate::recognise::{Claim, Known};
use crate::seen::Seen;
use crate::trailer::TrailerRecord;

/// The schema of a trace in JSON.
const SCHEMA: &str = "teredo.trace/1";
/// Year 10000, which RFC 3339 cannot write.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_800);
/// The unknown layers that are told apart.
const MOST_LAYERS: usize = 16;

/// The most that is kept of a capture. The rest is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most Teredo packets, and the most datagrams that may be some.
    pub packets: usize,
    /// The most nodes; the last of them, `others`, stands for all further endpoints. Also the size of each table of the judgement.
    pub nodes: usize,
}

impl Default for Limits {
    /// 100,000 packets, 4096 endpoints.
    fn default() -> Self {
        Self {
            packets: 100_000,
            nodes: 4096,
        }
    }
}

/// Reads a capture file.
///
/// # Errors
///
/// The bytes are those of no capture file. A file that is damaged further behind is read as far as it goes
/// ([`Trace::damage`]).
pub fn trace_file(file: &[u8], limits: Limits) -> Result<Trace, CaptureError> {
    let mut frames = Frames::new(file)?;
    let mut tracer = Tracer::new(limits);
    for frame in &mut frames {
        tracer.frames += 1;
        tracer.clock.pass(frame.time);
        match Outer::of(&frame) {
            Outer::Udp(udp) => {
                // Datagrams with a time before one without: the calendar holds for those alone.
                if !frame.has_time {
                    tracer.timeless.insert(tracer.frames);
                }
                tracer.take(&udp, frame.time);
            }
            Outer::Fragment => tracer.fragments += 1,
            Outer::Unreadable(layer) => tracer.cannot_read(layer),
            Outer::Other => tracer.not_teredo += 1,
        }
    }
    tracer.is_wall_clock = true;
    tracer.damage = frames.damage();
    Ok(tracer.finish())
}

/// Collects datagrams, and makes a trace of them.
///
/// [`trace_file`] does this for a file. A simulator passes each of its records, with the NATs and fates that it knows.
#[derive(Debug)]
pub struct Tracer {
    limits: Limits,
    is_wall_clock: bool,
    frames: u64,
    not_teredo: u64,
    fragments: u64,
    unreadable: Vec<Unreadable>,
    left_out: u64,
    undecided: u64,
    clock: Clock,
    damage: Option<Damage>,
    /// The frames without a time.
    timeless: BTreeSet<u64>,
    /// How many datagrams were kept, in all.
    kept: u64,
    /// The Teredo packets, with their places among all datagrams that were kept.
    certain: Vec<(u64, Seen)>,
    /// Those that are Teredo packets if the rest of the file says so.
    doubtful: Vec<(u64, Seen)>,
    /// The ends of each named node, in the order in which they were named.
    names: BTreeMap<String, Vec<SocketAddrV4>>,
    /// How many ends have a name.
    named: BTreeSet<SocketAddrV4>,
    chains: Vec<Vec<KnownNat>>,
    router_messages: Vec<RouterMessage>,
}

/// The time at which a capture ends. A single frame with a time far ahead does not count.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    is_running: bool,
    end: Duration,
    ahead: Duration,
}

impl Clock {
    /// The longest pause that one frame alone can make.
    const LEAP: Duration = Duration::from_secs(24 * 3600);

    fn pass(&mut self, time: Duration) {
        let is_near = |other: Duration| time.abs_diff(other) <= Self::LEAP;
        if self.is_running && is_near(self.end) {
            self.end = self.end.max(time);
        } else if !self.is_running || is_near(self.ahead) {
            // The second frame beyond a leap confirms the first one.
            self.end = time;
            self.is_running = true;
        }
        self.ahead = time;
    }
}

impl Tracer {
    /// A tracer that has seen nothing.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            is_wall_clock: false,
            frames: 0,
            not_teredo: 0,
            fragments: 0,
            unreadable: Vec::new(),
            left_out: 0,
            undecided: 0,
            clock: Clock {
                is_running: false,
                end: Duration::ZERO,
                ahead: Duration::ZERO,
            },
            damage: None,
            timeless: BTreeSet::new(),
            kept: 0,
            certain: Vec::new(),
            doubtful: Vec::new(),
            names: BTreeMap::new(),
            named: BTreeSet::new(),
            chains: Vec::new(),
            router_messages: Vec::new(),
        }
    }

    /// Names the node with this end. All ends with one name are one node, and the first of them is the one that people
    /// know it by.
    pub fn name(&mut self, end: SocketAddrV4, name: impl Into<String>) {
        if self.named.len() < self.limits.nodes && self.named.insert(end) {
            self.names.entry(name.into()).or_default().push(end);
        }
    }

    /// Names the NATs in a row in front of a client, from the client to the Internet. The last one has the public
    /// addresses, by which the client is known.
    pub fn name_nats(&mut self, chain: Vec<KnownNat>) {
        if self.chains.len() < self.limits.nodes && !chain.is_empty() {
            self.chains.push(chain);
        }
    }

    /// Takes a message between a client and its router. Its time is that of the observer, as in [`Observation`].
    pub fn router_message(&mut self, message: RouterMessage) {
        if self.router_messages.len() < self.limits.packets {
            self.router_messages.push(message);
        }
    }

    /// Takes a datagram. If it is not Teredo, it is only counted.
    pub fn observe(&mut self, seen: &Observation<'_>) {
        self.frames += 1;
        self.clock.pass(seen.time);
        self.keep(seen, seen.payload.len());
    }

    fn take(&mut self, udp: &Udp<'_>, time: Duration) {
        let observation = Observation {
            frame: self.frames,
            time,
            source: udp.source,
            destination: udp.destination,
            public_source: None,
            inner_destination: None,
            ttl: udp.ttl,
            payload: &udp.payload,
            cut: udp.cut,
            fate: None,
        };
        self.keep(&observation, udp.length);
    }

    fn cannot_read(&mut self, layer: Layer) {
        let is_full = self.unreadable.len() >= MOST_LAYERS;
        match self
            .unreadable
            .iter_mut()
            .find(|known| known.layer == layer)
        {
            Some(known) => known.frames += 1,
            None if is_full => self.not_teredo += 1,
            None => self.unreadable.push(Unreadable { layer, frames: 1 }),
        }
    }

    fn keep(&mut self, seen: &Observation<'_>, length: usize) {
        let (is_certain, contents) = match Claim::of(seen) {
            None => {
                self.not_teredo += 1;
                return;
            }
            Some(Claim::Certain(contents)) => (true, Ok(contents)),
            Some(Claim::Possible(contents)) => (false, Ok(contents)),
            Some(Claim::Malformed(error)) => (false, Err(error)),
        };
        // Each has a limit of its own, so that other programs on port 3544 leave the Teredo packets their room.
        let (list, beyond) = if is_certain {
            (&mut self.certain, &mut self.left_out)
        } else {
            (&mut self.doubtful, &mut self.undecided)
        };
        if list.len() >= self.limits.packets {
            *beyond += 1;
            return;
        }
        list.push((self.kept, Seen::new(seen, length, contents)));
        self.kept += 1;
    }

    /// Decides about the doubtful datagrams. Returns all Teredo packets in their order, with the servers that they show.
    fn decide(&mut self) -> (Vec<Seen>, Questions, BTreeSet<Ipv4Addr>) {
        let mut all = std::mem::take(&mut self.certain);
        let certain = || all.iter().map(|(_, seen)| seen);
        let questions = Questions::of(certain());
        let servers = questions.servers(certain());
        let known = Known::of(certain(), servers.clone());
        let doubtful = std::mem::take(&mut self.doubtful);
        let count = doubtful.len();
        let before = all.len();
        all.extend(doubtful.into_iter().filter(|(_, seen)| known.accepts(seen)));
        self.not_teredo += (count - (all.len() - before)) as u64;
        all.sort_by_key(|(place, _)| *place);
        self.left_out += all.len().saturating_sub(self.limits.packets) as u64;
        all.truncate(self.limits.packets);
        let seen = all.into_iter().map(|(_, seen)| seen).collect();
        (seen, questions, servers)
    }

    /// Judges the collected datagrams.
    pub fn finish(mut self) -> Trace {
        let (seen, questions, servers) = self.decide();
        let mut register = Register::new(servers, questions, self.limits.nodes);
        for ends in self.names.values() {
            register.know(ends);
        }
        for one in &seen {
            register.learn(one);
        }
        let (mut nodes, places) = register.nodes();
        for (name, ends) in &self.names {
            for end in ends {
                if let Some(node) = places.get(end).and_then(|place| nodes.get_mut(*place)) {
                    node.name = Some(name.clone());
                }
            }
        }
        let view = View::of(&seen, register.servers(), self.limits.nodes);
        let mut judge = Judge::new(register.servers(), &nodes, &places, view, self.limits.nodes);
        let judged: Vec<_> = seen
            .iter()
            .enumerate()
            .map(|(at, seen)| judge.look(at, seen))
            .collect();
        let Verdict {
            halts,
            mut evidence,
            notes,
        } = judge.finish(self.clock.end);
        for (place, node) in nodes.iter_mut().enumerate() {
            if node.role == Role::Client {
                let evidence = evidence.remove(&place).unwrap_or_default();
                node.nat = evidence.judge(node.local, node.mapped);
                let public = node.mapped.map(|mapped| *mapped.ip());
                let has_it = |nat: &KnownNat| public.is_some_and(|ip| nat.addresses.contains(&ip));
                let mut chains = self.chains.iter();
                let known = chains.find(|chain| chain.last().is_some_and(has_it));
                if let (Some(nat), Some(chain)) = (&mut node.nat, known) {
                    nat.name = chain.last().map(|nat| nat.name.clone());
                    nat.chain.clone_from(chain);
                }
            }
        }
        let start = seen.first().map(|seen| seen.time);
        let has_calendar = |frame: &u64| self.is_wall_clock && !self.timeless.contains(frame);
        let is_dated = seen.first().is_some_and(|seen| has_calendar(&seen.frame));
        let packet = Packets {
            start: start.unwrap_or_default(),
            has_calendar: &has_calendar,
            places: &places,
            nodes: &nodes,
        };
        let mut packets: Vec<Packet> = (seen.into_iter().zip(judged).enumerate())
            .map(|(at, (seen, (kind, findings)))| packet.of(at, seen, kind, findings))
            .collect();
        let mut stalls = Vec::new();
        for halt in halts {
            if let Some(packet) = packets.get_mut(halt.packet) {
                stalls.push(Stall {
                    packet: packet.n,
                    id: halt.finding.id,
                    text: halt.finding.text.clone(),
                });
                packet.findings.push(halt.finding);
            }
        }
        for message in &mut self.router_messages {
            message.at = message.at.saturating_sub(start.unwrap_or_default());
        }
        self.router_messages.sort_by_key(|message| message.at);
        Trace {
            schema: SCHEMA,
            start: start.filter(|_| is_dated).and_then(rfc3339),
            frames: self.frames,
            not_teredo: self.not_teredo,
            fragments: self.fragments,
            unreadable: self.unreadable,
            left_out: self.left_out,
            undecided: self.undecided,
            damage: self.damage.map(|damage| damage.to_string()),
            nodes,
            packets,
            stalls,
            notes,
            router_messages: self.router_messages,
        }
    }
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// `teredo.trace/1`.
    pub schema: &'static str,
    /// The time of the first Teredo packet, if the capture has the time of day.
    pub start: Option<String>,
    /// How many frames the file has.
    pub frames: u64,
    /// How many of them are not Teredo.
    pub not_teredo: u64,
    /// How many are parts of IPv4 packets, into which nobody looked.
    pub fragments: u64,
    /// The frames that could not be read, because nobody here knows how they begin.
    pub unreadable: Vec<Unreadable>,
    /// How many Teredo packets there were beyond [`Limits::packets`].
    pub left_out: u64,
    /// How many further datagrams may have been Teredo packets: so many others came before them that nobody looked.
    pub undecided: u64,
    /// Why the file could not be read to its end.
    pub damage: Option<String>,
    /// The nodes, in the order of their first datagrams.
    pub nodes: Vec<Node>,
    /// The Teredo packets, in the order of the file.
    pub packets: Vec<Packet>,
    /// Where the exchange does not go on.
    pub stalls: Vec<Stall>,
    /// Why some of it cannot show, each as a sentence.
    pub notes: Vec<String>,
    /// The messages between clients and their routers that the observer passed on, with their times after the first
    /// packet.
    #[serde(skip)]
    pub router_messages: Vec<RouterMessage>,
}

/// A message between a client and its router, such as a request for a port (PCP, RFC 6887). It is not Teredo; the ladder
/// shows it, because it tells why a packet passes the NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterMessage {
    /// When.
    pub at: Duration,
    /// The name of the client ([`Tracer::name`]).
    pub node: String,
    /// Whether the router sent it.
    pub from_router: bool,
    /// The message in a few words.
    pub text: String,
}

/// Frames that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The layer that is not known.
    #[serde(flatten)]
    pub layer: Layer,
    /// How many frames have it.
    pub frames: u64,
}

impl Trace {
    /// The node with this identifier.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// How many findings have this grade.
    pub fn count(&self, grade: Grade) -> usize {
        let findings = self.packets.iter().flat_map(|packet| &packet.findings);
        findings.filter(|finding| finding.grade == grade).count()
    }
}

/// A place where the exchange does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// The number of the last packet before it.
    pub packet: u64,
    /// `stall.solicitation`, `stall.bubble` or `stall.ping`.
    pub id: &'static str,
    /// The stall in a sentence.
    pub text: String,
}

/// A Teredo packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Its number among the Teredo packets, from 1.
    pub n: u64,
    /// The number of its frame in the file, from 1.
    pub frame: u64,
    /// When it was captured, RFC 3339; `None` if the capture does not have the time of day.
    pub time: Option<String>,
    /// The same in microseconds after the first packet.
    pub at_us: u64,
    /// Its kind.
    pub kind: Kind,
    /// The outer source.
    pub from: SocketAddrV4,
    /// The outer destination.
    pub to: SocketAddrV4,
    /// The identifier of the node that sent it.
    pub from_node: String,
    /// The identifier of the node that it is for.
    pub to_node: String,
    /// The length of the UDP payload in bytes.
    pub length: usize,
    /// Whether the capture does not have all of it.
    pub cut: bool,
    /// The inner source.
    pub source: Option<Ipv6Addr>,
    /// The inner destination.
    pub destination: Option<Ipv6Addr>,
    /// The origin indication.
    pub origin: Option<SocketAddrV4>,
    /// The nonce of the authentication element, in hexadecimal.
    pub nonce: Option<String>,
    /// Of a solicitation: whether its cone bit is set.
    pub cone: Option<bool>,
    /// Of data: the contents of the IPv6 packet.
    pub carries: Option<String>,
    /// How many IPv6 packets it holds: more than one before the kernel cuts a train into datagrams.
    pub train: usize,
    /// The trailers.
    pub trailers: Vec<TrailerRecord>,
    /// Its fate, if the observer knows.
    #[serde(flatten)]
    pub fate: Option<Fate>,
    /// Its faults, and remarks.
    pub findings: Vec<Finding>,
}

impl Packet {
    /// The worst grade of its findings.
    pub fn worst(&self) -> Option<Grade> {
        self.findings.iter().map(|finding| finding.grade).max()
    }

    /// When it was captured, after the first packet.
    pub const fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }
}

/// Makes packets of the collected datagrams.
struct Packets<'a> {
    start: Duration,
    has_calendar: &'a dyn Fn(&u64) -> bool,
    places: &'a BTreeMap<SocketAddrV4, usize>,
    nodes: &'a [Node],
}

impl Packets<'_> {
    fn of(&self, at: usize, seen: Seen, kind: Kind, findings: Vec<Finding>) -> Packet {
        let contents = seen.contents.as_ref().ok();
        let since_start = seen.time.saturating_sub(self.start).as_micros();
        let id = |end: SocketAddrV4| {
            let place = self
                .places
                .get(&end)
                .and_then(|place| self.nodes.get(*place));
            place.map_or_else(|| String::from(OTHERS), |node| node.id.clone())
        };
        Packet {
            n: at as u64 + 1,
            frame: seen.frame,
            time: (self.has_calendar)(&seen.frame)
                .then(|| rfc3339(seen.time))
                .flatten(),
            at_us: u64::try_from(since_start).unwrap_or(u64::MAX),
            kind,
            from: seen.source,
            to: seen.destination,
            from_node: id(seen.source),
            to_node: id(seen.near_destination()),
            length: seen.length,
            cut: seen.cut,
            source: contents.map(|contents| contents.source),
            destination: contents.map(|contents| contents.destination),
            origin: contents.and_then(|contents| contents.origin),
            nonce: contents
                .and_then(|contents| contents.authentication)
                .map(|element| format!("{:016x}", u64::from_be_bytes(element.nonce))),
            cone: contents
                .filter(|_| kind == Kind::Solicitation)
                .map(|contents| is_cone(contents.source)),
            carries: contents
                .filter(|_| kind == Kind::Data)
                .map(|contents| carries(&contents.message)),
            train: contents.map_or(1, |contents| contents.train),
            trailers: contents.map(trailers).unwrap_or_default(),
            fate: seen.fate.clone(),
            findings,
        }
    }
}

fn trailers(contents: &Contents) -> Vec<TrailerRecord> {
    contents.trailers.clone()
}

fn carries(message: &Message) -> String {
    match message {
        Message::EchoRequest(_) => String::from("ICMPv6 echo request"),
        Message::EchoReply(_) => String::from("ICMPv6 echo reply"),
        Message::Other { protocol, .. } => match *protocol {
            protocol::TCP => String::from("TCP"),
            protocol::UDP => String::from("UDP"),
            protocol::ICMPV6 => String::from("ICMPv6"),
            protocol::NO_NEXT_HEADER => String::from("nothing"),
            protocol::FRAGMENT => String::from("a fragment"),
            other => format!("protocol {other}"),
        },
        Message::Bubble | Message::Solicitation(_) | Message::Advertisement(_) => {
            String::from("ICMPv6")
        }
    }
}

/// A time since 1970 in words; `None` if it is beyond the year 9999.
fn rfc3339(time: Duration) -> Option<String> {
    let time = (time < END_OF_TIME).then(|| UNIX_EPOCH.checked_add(time))??;
    Some(humantime::format_rfc3339_micros(time).to_string())
}

#[cfg(test)]
mod tests;
