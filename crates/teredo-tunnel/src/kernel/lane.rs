//! A lane's hand on the path: it takes the changes of the state machine's paths to the map, one by one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use teredo::client::PeerStatus;
use teredo::wire::MTU;
use teredo::{Client, Instant, Node, PathChange, PeerPath, Relay};
use teredo_bpf::{Entry, Side, Traffic};

use super::obstacles::NO_PORT;
use super::ways::Ways;
use super::{ELSEWHERE, KernelPath, Obstacle};
use crate::clock;
use crate::steer::Lanes;
use crate::udp::ServiceSocket;

/// A state machine whose peers can have a path in the kernel.
pub(crate) trait Endpoint: Node {
    /// The native networks that packets of known peers may come from and go to, each with whether the kernel carries them;
    /// `None` for a client, which has one address.
    fn natives(&self) -> Option<Vec<(Ipv6Addr, u8, bool)>>;
}

impl Endpoint for Client {
    fn natives(&self) -> Option<Vec<(Ipv6Addr, u8, bool)>> {
        None
    }
}

impl Endpoint for Relay {
    fn natives(&self) -> Option<Vec<(Ipv6Addr, u8, bool)>> {
        Some(self.natives())
    }
}

/// The peers of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    lanes: Lanes,
    index: usize,
}

/// The longest time that new entries wait for empty queues.
const PATIENCE: Duration = Duration::from_millis(100);

impl Share {
    /// All of them.
    pub(crate) const ALL: Self = Self::of(Lanes::ONE, 0);

    /// Those of one lane of a relay.
    pub(crate) const fn of(lanes: Lanes, index: usize) -> Self {
        Self { lanes, index }
    }

    fn has(self, peer: Ipv6Addr) -> bool {
        // The client's IPv4 address, in a Teredo address (RFC 4380 §4).
        let hidden = peer.to_bits() as u32;
        self.lanes.count() == 1 || self.lanes.of(Ipv4Addr::from_bits(!hidden)) == self.index
    }
}

/// A lane's part of a [`KernelPath`].
#[derive(Debug)]
pub(crate) struct KernelLane {
    path: KernelPath,
    share: Share,
    /// Where datagrams leave from, while the port serves.
    local: Option<SocketAddrV4>,
    /// The time to live of the system's datagrams.
    ttl: u8,
    /// The longest packet, by what is known of all ways.
    longest: u16,
    /// `None` if the kernel gives no netlink socket: then no peer has a path.
    ways: Option<Ways>,
    /// Since when there are new entries that carry nothing yet: packets of these peers may be in the queues of the interface and
    /// of the socket, and those in the kernel must not overtake them.
    waiting_since: Option<Instant>,
    /// Paths that were offered cannot be taken before the programs are attached to their interface: the number of
    /// [changes](KernelPath::changes) before.
    awaits_hooks: Option<u64>,
    /// Whether there may be entries.
    has_entries: bool,
    /// Whether packets were taken from the queues since they were last found empty. Those in the kernel follow them.
    took_packets: bool,
    /// The traffic of earlier entries of a client's peers.
    past: HashMap<Ipv6Addr, Carried>,
    /// The most of them.
    most_past: usize,
    /// Whether peers are behind an interface that finishes no checksums, as far as the last change of a path says.
    on_virtual_link: bool,
}

/// The traffic of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    packets_in: u64,
    bytes_in: u64,
    packets_out: u64,
    bytes_out: u64,
}

impl Carried {
    fn add(&mut self, traffic: &Traffic) {
        self.packets_in += traffic.packets_in;
        self.bytes_in += traffic.bytes_in;
        self.packets_out += traffic.packets_out;
        self.bytes_out += traffic.bytes_out;
    }
}

impl KernelLane {
    /// For a lane with these peers. The traffic of `most_past` peers is remembered when they leave the map.
    pub(crate) fn new(path: KernelPath, share: Share, most_past: usize) -> Self {
        let ways = Ways::open();
        let ways =
            ways.inspect_err(|error| tracing::warn!(%error, "no peer has a path in the kernel"));
        Self {
            path,
            share,
            local: None,
            ttl: 64,
            longest: MTU as u16,
            ways: ways.ok(),
            waiting_since: None,
            awaits_hooks: None,
            has_entries: false,
            took_packets: false,
            past: HashMap::new(),
            most_past,
            on_virtual_link: false,
        }
    }

    /// The port serves. The first lane's decides for all.
    pub(crate) fn open(&mut self, node: &mut impl Endpoint, socket: &ServiceSocket) {
        self.local = Some(socket.local());
        self.ttl = sockopt::ip_ttl(socket).map_or(self.ttl, |ttl| ttl as u8);
        self.path.try_again();
        self.path.watch(socket);
        self.renew(node);
        if self.share.index == 0 {
            self.path.clear(Obstacle::Port);
        }
    }

    /// The port is about to change: nothing leaves by the path any more.
    pub(crate) fn close(&mut self) {
        if self.local.take().is_some() {
            self.path.hinder(Obstacle::Port, NO_PORT);
            self.withdraw_all();
        }
    }

    /// Whether peers are to be shown that this node takes packets without checksums.
    pub(crate) fn is_on_virtual_link(&self) -> bool {
        self.on_virtual_link
    }

    /// Watches a further port.
    pub(crate) fn watch(&self, socket: impl AsFd) {
        self.path.watch(socket);
    }

    /// The network has changed: all ways are looked up anew.
    pub(crate) fn reroute(&mut self, node: &mut impl Endpoint) {
        self.path.forget_underlays();
        if let Some(ways) = &mut self.ways {
            ways.forget();
        }
        self.renew(node);
    }

    /// Packets that are longer take the way of user space.
    pub(crate) fn set_longest(&mut self, node: &mut impl Endpoint, longest: Option<u16>) {
        let longest = longest.unwrap_or(MTU as u16);
        if std::mem::replace(&mut self.longest, longest) != longest {
            self.renew(node);
        }
    }

    /// Sets whether packets may go to the host.
    pub(crate) fn set_delivers(&self, delivers: bool) {
        if delivers {
            self.path.clear(Obstacle::Interface);
        } else {
            self.path.hinder(Obstacle::Interface, ELSEWHERE);
        }
    }

    /// Has all paths offered anew.
    fn renew(&mut self, node: &mut impl Endpoint) {
        if self.local.is_some() {
            node.report_paths(true);
            self.serve(node);
            self.drain(node);
        }
    }

    fn serve(&self, node: &impl Endpoint) {
        if let Some(natives) = node.natives() {
            self.path.serve(&natives);
        }
    }

    /// Takes the changes of the state machine to the map.
    pub(crate) fn drain(&mut self, node: &mut impl Endpoint) {
        if self
            .awaits_hooks
            .is_some_and(|before| self.path.changes() != before)
        {
            self.awaits_hooks = None;
            node.report_paths(true);
        }
        while let Some(change) = node.poll_path() {
            let is_offer = matches!(change, PathChange::Offered(_));
            match change {
                PathChange::Offered(path) => self.offer(&path),
                PathChange::Withdrawn(peer) => self.withdraw(peer),
                PathChange::AllWithdrawn => {
                    self.withdraw_all();
                    self.serve(node);
                }
            }
            if is_offer {
                self.on_virtual_link = self.path.is_on_virtual_link();
            }
        }
    }

    /// Whether paths wait for the programs to be attached.
    #[cfg(test)]
    pub(super) fn awaits_hooks(&self) -> bool {
        self.awaits_hooks.is_some()
    }

    /// Whether paths, or packets of paths, wait for empty queues.
    pub(crate) fn awaits_queues(&self) -> bool {
        self.waiting_since.is_some() || (self.took_packets && self.has_entries)
    }

    /// The queues were found `empty`, or have packets that are taken now; after that time, if they were awaited. Some are
    /// never found empty.
    pub(crate) fn queues_polled(&mut self, empty: bool, awaited: Option<Duration>) {
        let late = |since: Instant| clock::now().saturating_duration_since(since) >= PATIENCE;
        if let Some(at) = awaited
            && (empty || self.waiting_since.is_some_and(late))
        {
            self.waiting_since = None;
            self.took_packets = false;
            self.path.queues_empty(self.share.index, at);
        }
        self.took_packets |= !empty;
    }

    pub(super) fn offer(&mut self, offered: &PeerPath) {
        self.remember(offered.peer);
        if self.try_offer(offered).is_none() {
            // An earlier path of this peer is not good any more.
            self.path.remove(offered.peer);
        }
    }

    fn try_offer(&mut self, offered: &PeerPath) -> Option<()> {
        let local = self.local?;
        let bound = Some(*local.ip()).filter(|address| !address.is_unspecified());
        let (way, longest) = self.ways.as_mut()?.to(*offered.remote.ip(), bound)?;
        let port = offered.port.unwrap_or_else(|| local.port());
        let local = SocketAddrV4::new(bound.or(way.source)?, port);
        let side = offered.own.map_or(Side::Relay, Side::Client);
        let heard = Duration::from_nanos(offered.heard.as_nanos());
        let (ttl, longest) = (self.ttl, longest.min(self.longest));
        let lane = self.share.index as u32;
        self.waiting_since.get_or_insert_with(clock::now);
        self.has_entries = true;
        let changes = self.path.changes();
        let is_decided = self
            .path
            .insert(offered.peer, way.link, |interfaces| Entry {
                longest,
                ttl,
                lane,
                added: Some(teredo_bpf::now()),
                ..Entry::new(side, local, offered.remote, interfaces, heard)
            });
        if !is_decided {
            self.awaits_hooks.get_or_insert(changes);
        }
        Some(())
    }

    fn withdraw(&mut self, peer: Ipv6Addr) {
        self.remember(peer);
        self.path.remove(peer);
    }

    fn withdraw_all(&mut self) {
        self.has_entries = false;
        if self.most_past > 0 {
            for peer in self.path.peers() {
                self.withdraw(peer);
            }
        } else {
            let share = self.share;
            self.path.remove_all(|peer| share.has(peer));
        }
    }

    /// The entry of a peer is about to go, and its counters with it.
    fn remember(&mut self, peer: Ipv6Addr) {
        if self.most_past == 0 {
            return;
        }
        if let Some(traffic) = self.path.traffic(peer) {
            if self.past.len() >= self.most_past && !self.past.contains_key(&peer) {
                // Few of those are still in the client's own list.
                self.past.clear();
            }
            self.past.entry(peer).or_default().add(&traffic);
        }
    }

    /// Adds what the kernel has carried to the traffic of peers.
    pub(crate) fn add_carried(&self, peers: &mut [PeerStatus]) {
        let now = teredo_bpf::now();
        let latest = |known: Option<Duration>, at: Duration| {
            let ago = now.saturating_sub(at);
            Some(known.map_or(ago, |known| known.min(ago)))
        };
        for peer in peers {
            let mut carried = self.past.get(&peer.address).copied().unwrap_or_default();
            if let Some(traffic) = self.path.traffic(peer.address) {
                carried.add(&traffic);
                peer.heard = latest(peer.heard, traffic.heard);
                peer.sent = traffic.sent.map_or(peer.sent, |at| latest(peer.sent, at));
            }
            peer.traffic.rx_packets += carried.packets_in;
            peer.traffic.rx_bytes += carried.bytes_in;
            peer.traffic.tx_packets += carried.packets_out;
            peer.traffic.tx_bytes += carried.bytes_out;
        }
    }
}
