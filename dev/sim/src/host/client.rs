//! A host that runs a Teredo client.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{
    Event, LocalSubnet, PORT_BLOCK, RANDOM_PORT_RANGE, RandomPortAnswer, Resumption,
};
use teredo::wire::DISCOVERY;
use teredo::{Client, ClientConfig, IcmpErrorKind, Instant, Node, ServerAddress, Submission};

use super::journal::Journal;
use super::station::{Station, datagram};
use super::{Action, Stamped};
use crate::datagram::Datagram;
use crate::icmp::{IcmpError, IcmpKind};

/// The answer of a host to a request for a random port (RFC 6081 §5.4), or for a block of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortFirewall {
    /// It opens the port at once.
    #[default]
    Open,
    /// It opens the port after this time.
    Late(Duration),
    /// It refuses.
    Refuses,
    /// It does not answer.
    Silent,
}

/// A Teredo client with its service port, and a record of its output.
///
/// The host may have further UDP ports: the random ports that the state machine asks for (RFC 6081 §5.4), and others.
/// [`World::open_port`] opens one of these, [`World::send_from`] sends from it, and [`Self::received`] has the datagrams
/// that came in on it. The NAT gives each port mappings of its own.
///
/// [`World::open_port`]: crate::World::open_port
/// [`World::send_from`]: crate::World::send_from
#[derive(Debug)]
pub struct ClientHost {
    station: Station<Client, Event>,
    /// Whether the host has joined the multicast group of local discovery (RFC 4380 §5.2.8).
    joined: bool,
    /// How often the secondary port was opened; it is another one each time.
    opened: u16,
    /// The random ports that are open, in order.
    random: Vec<u16>,
    /// Those that the firewall has not admitted yet, oldest first.
    opening: VecDeque<(Instant, u16)>,
    firewall: PortFirewall,
    /// The block of ports that is open.
    block: Vec<u16>,
    /// When the firewall admits it.
    block_opening: Option<Instant>,
    /// How many blocks were asked for.
    blocks_asked: u16,
    /// How many random ports were asked for, and the most at once.
    random_asked: u64,
    random_most: usize,
    /// The further ports, in order. There are no more than there are port numbers.
    ports: Vec<u16>,
    received: Journal<Datagram>,
    icmp: Journal<IcmpError>,
}

impl ClientHost {
    pub(crate) fn new(
        config: ClientConfig,
        seed: [u8; 32],
        now: Instant,
        local: SocketAddrV4,
        kept: u32,
    ) -> Self {
        Self {
            station: Station::endpoint(Client::new(config, seed, now), local, kept),
            joined: false,
            opened: 0,
            random: Vec::new(),
            opening: VecDeque::new(),
            firewall: PortFirewall::Open,
            block: Vec::new(),
            block_opening: None,
            blocks_asked: 0,
            random_asked: 0,
            random_most: 0,
            ports: Vec::new(),
            received: Journal::new(kept),
            icmp: Journal::new(kept),
        }
    }

    /// The state machine. The [`World`](crate::World) has methods that change it, and drains it after each.
    pub fn client(&self) -> &Client {
        &self.station.node
    }

    /// The service port's local address.
    pub fn local(&self) -> SocketAddrV4 {
        self.station.local
    }

    /// The secondary port's local address, while it is open.
    pub fn secondary(&self) -> Option<SocketAddrV4> {
        self.station.secondary
    }

    /// The IPv6 packets that were delivered to the host, oldest first.
    pub fn delivered(&self) -> &[Stamped<Vec<u8>>] {
        self.station.delivered.entries()
    }

    /// The ICMPv6 errors that the client itself sent to the host, oldest first.
    pub fn errors(&self) -> &[Stamped<Vec<u8>>] {
        self.station.errors.entries()
    }

    /// The events, oldest first.
    pub fn events(&self) -> &[Stamped<Event>] {
        self.station.events.entries()
    }

    /// The further ports that are open.
    pub fn ports(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        let address = *self.local().ip();
        let ports = self.ports.iter();
        ports.map(move |port| SocketAddrV4::new(address, *port))
    }

    /// The random ports that are open.
    pub fn random_ports(&self) -> &[u16] {
        &self.random
    }

    /// How many random ports the state machine has asked for.
    pub fn random_ports_asked(&self) -> u64 {
        self.random_asked
    }

    /// The most random ports that were open at once.
    pub fn most_random_ports(&self) -> usize {
        self.random_most
    }

    /// The block of ports that is open.
    pub fn port_block(&self) -> &[u16] {
        &self.block
    }

    /// How many blocks of ports the state machine has asked for.
    pub fn port_blocks_asked(&self) -> u16 {
        self.blocks_asked
    }

    pub(crate) fn set_port_firewall(&mut self, firewall: PortFirewall) {
        self.firewall = firewall;
    }

    /// The datagrams that came in on further ports, oldest first. Their destination tells the port.
    pub fn received(&self) -> &[Stamped<Datagram>] {
        self.received.entries()
    }

    /// The ICMP errors about datagrams of any of the host's ports, oldest first. The state machine gets those about the
    /// service port's.
    pub fn icmp_errors(&self) -> &[Stamped<IcmpError>] {
        self.icmp.entries()
    }

    pub(crate) fn receive_error(&mut self, now: Instant, error: IcmpError) -> Vec<Action> {
        self.icmp.note(now, || error);
        if error.source != self.local() {
            return Vec::new();
        }
        let kind = match error.kind {
            IcmpKind::TimeExceeded => IcmpErrorKind::TimeExceeded,
            IcmpKind::HostUnreachable
            | IcmpKind::PortUnreachable
            | IcmpKind::FragmentationNeeded { .. } => IcmpErrorKind::Other,
        };
        let error = teredo::IcmpError {
            kind,
            reporter: error.reporter,
            destination: error.destination,
            quoted: error.quoted.as_bytes(),
        };
        self.call(now, |client| client.handle_icmp_error(now, &error))
    }

    /// Whether datagrams to this address are received.
    pub(crate) fn listens_on(&self, to: SocketAddrV4) -> bool {
        to == self.local()
            || self.secondary() == Some(to)
            || self.joined && to == DISCOVERY
            || self.is_further(to)
            || self.is_random(to)
    }

    fn is_random(&self, to: SocketAddrV4) -> bool {
        let is_open = self.random.binary_search(&to.port()).is_ok();
        to.ip() == self.local().ip() && (is_open || self.block.contains(&to.port()))
    }

    fn is_further(&self, to: SocketAddrV4) -> bool {
        to.ip() == self.local().ip() && self.ports.binary_search(&to.port()).is_ok()
    }

    /// Opens a further port; `None` if the port is in use.
    pub(crate) fn open_port(&mut self, port: u16) -> Option<SocketAddrV4> {
        let local = SocketAddrV4::new(*self.local().ip(), port);
        if self.listens_on(local) {
            return None;
        }
        let index = self.ports.binary_search(&port).err()?;
        self.ports.insert(index, port);
        Some(local)
    }

    /// Closes a further port. Datagrams to it find no listener.
    pub(crate) fn close_port(&mut self, port: u16) {
        self.ports.retain(|open| *open != port);
    }

    /// A datagram from one of the host's ports; `None` if that port is not open.
    pub(crate) fn send_from(
        &self,
        port: u16,
        to: SocketAddrV4,
        ttl: Option<u8>,
        payload: &[u8],
    ) -> Option<Datagram> {
        let from = SocketAddrV4::new(*self.local().ip(), port);
        self.listens_on(from)
            .then(|| datagram(from, to, ttl, payload.to_vec()))
    }

    pub(crate) fn keep(&mut self, limit: u32) {
        self.station.keep(limit);
        self.received.set_limit(limit);
        self.icmp.set_limit(limit);
    }

    pub(crate) fn start(&mut self, now: Instant, servers: &[ServerAddress]) -> Vec<Action> {
        let local = self.local();
        self.call(now, |client| client.start(now, local, servers))
    }

    /// Kills the process, and starts another one on the same port.
    pub(crate) fn restart(
        &mut self,
        config: ClientConfig,
        seed: [u8; 32],
        now: Instant,
        servers: &[ServerAddress],
        earlier: Resumption,
    ) -> Vec<Action> {
        self.station.node = Client::new(config, seed, now);
        self.station.secondary = None;
        self.ports.clear();
        self.random.clear();
        self.opening.clear();
        self.block.clear();
        self.block_opening = None;
        let local = self.local();
        self.call(now, |client| client.resume(now, local, servers, earlier))
    }

    pub(crate) fn stop(&mut self, now: Instant) -> Vec<Action> {
        self.call(now, |client| client.stop(now))
    }

    pub(crate) fn sleep(&mut self, now: Instant, native: Ipv6Addr) -> Vec<Action> {
        self.call(now, |client| client.sleep(now, native))
    }

    pub(crate) fn set_local_subnet(
        &mut self,
        now: Instant,
        subnet: Option<LocalSubnet>,
    ) -> Vec<Action> {
        self.joined = subnet.is_some();
        self.call(now, |client| client.set_local_subnet(now, subnet))
    }

    pub(crate) fn set_links(&mut self, now: Instant, subnets: Vec<LocalSubnet>) -> Vec<Action> {
        self.call(now, |client| client.set_links(subnets))
    }

    pub(crate) fn set_upnp_mapping(
        &mut self,
        now: Instant,
        external: Option<SocketAddrV4>,
    ) -> Vec<Action> {
        self.call(now, |client| client.set_upnp_mapping(external))
    }

    pub(crate) fn set_servers(&mut self, now: Instant, servers: &[ServerAddress]) -> Vec<Action> {
        self.call(now, |client| client.set_servers(now, servers))
    }

    pub(crate) fn rebind(&mut self, now: Instant, local: SocketAddrV4) -> Vec<Action> {
        self.station.local = local;
        self.call(now, |client| client.handle_network_change(now, local))
    }

    pub(crate) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        let (submission, mut actions) = self.station.submit(now, packet);
        self.handle_events(now, &mut actions);
        (submission, actions)
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: &[u8],
    ) -> Vec<Action> {
        if self.secondary() == Some(to) {
            // Datagrams to this port are never for the host.
            return self.call(now, |client| {
                let _ = client.handle_secondary(now, from, payload);
            });
        }
        if self.is_random(to) {
            let mut actions = self.station.receive_random(now, from, to.port(), payload);
            self.handle_events(now, &mut actions);
            return actions;
        }
        if self.is_further(to) {
            self.received
                .note(now, || datagram(from, to, None, payload.to_vec()));
            return Vec::new();
        }
        let mut actions = self.station.receive(now, from, *to.ip(), payload);
        self.handle_events(now, &mut actions);
        actions
    }

    pub(crate) fn wake(&mut self, now: Instant, number: u64) -> Option<Vec<Action>> {
        let mut actions = self.station.wake(now, number)?;
        self.handle_events(now, &mut actions);
        while self.opening.front().is_some_and(|&(at, _)| at <= now)
            && let Some((_, port)) = self.opening.pop_front()
        {
            self.admit(now, port, &mut actions);
        }
        if self.block_opening.take_if(|at| *at <= now).is_some() {
            self.admit_block(now, &mut actions);
        }
        Some(actions)
    }

    pub(crate) fn next_alarm(&mut self) -> Option<(Instant, u64)> {
        let port = self.opening.front().map(|&(at, _)| at);
        self.station.errand = port.into_iter().chain(self.block_opening).min();
        self.station.next_alarm()
    }

    fn call(&mut self, now: Instant, change: impl FnOnce(&mut Client)) -> Vec<Action> {
        let mut actions = self.station.call(now, change);
        self.handle_events(now, &mut actions);
        actions
    }

    /// Opens and closes ports as new events ask for it.
    fn handle_events(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for event in std::mem::take(&mut self.station.new_events) {
            actions.push(Action::Tell(event));
            match event {
                Event::SecondaryPort { wanted } => self.set_secondary_port(now, wanted, actions),
                Event::RandomPort { port, wanted: true } => self.open_random(now, port, actions),
                Event::RandomPort {
                    port,
                    wanted: false,
                } => {
                    self.random.retain(|open| *open != port);
                    self.opening.retain(|(_, opening)| *opening != port);
                }
                Event::OpenPortBlock => self.open_block(now, actions),
                Event::ClosePortBlock { keep } => {
                    self.block.clear();
                    self.block_opening = None;
                    if let Some(port) = keep
                        && let Err(index) = self.random.binary_search(&port)
                    {
                        self.random.insert(index, port);
                    }
                }
                _ => {}
            }
        }
    }

    fn open_random(&mut self, now: Instant, port: u16, actions: &mut Vec<Action>) {
        self.random_asked += 1;
        let local = SocketAddrV4::new(*self.local().ip(), port);
        let answer = match self.firewall {
            _ if self.listens_on(local) => RandomPortAnswer::Taken,
            PortFirewall::Refuses => RandomPortAnswer::Refused,
            PortFirewall::Silent => return,
            PortFirewall::Late(delay) => return self.opening.push_back((now + delay, port)),
            PortFirewall::Open => return self.admit(now, port, actions),
        };
        actions.extend(self.call(now, |client| client.random_port(now, port, answer)));
    }

    fn admit(&mut self, now: Instant, port: u16, actions: &mut Vec<Action>) {
        if let Err(index) = self.random.binary_search(&port) {
            self.random.insert(index, port);
        }
        self.random_most = self.random_most.max(self.random.len());
        let answer = RandomPortAnswer::Open;
        actions.extend(self.call(now, |client| client.random_port(now, port, answer)));
    }

    fn open_block(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.blocks_asked += 1;
        match self.firewall {
            PortFirewall::Silent => {}
            PortFirewall::Late(delay) => self.block_opening = Some(now + delay),
            PortFirewall::Open => self.admit_block(now, actions),
            PortFirewall::Refuses => {
                actions.extend(self.call(now, |client| client.port_block(now, &[])));
            }
        }
    }

    fn admit_block(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let address = *self.local().ip();
        let ports = RANDOM_PORT_RANGE;
        let free = ports.filter(|port| !self.listens_on(SocketAddrV4::new(address, *port)));
        let block: Vec<u16> = free.take(PORT_BLOCK).collect();
        self.block.clone_from(&block);
        actions.extend(self.call(now, |client| client.port_block(now, &block)));
    }

    fn set_secondary_port(&mut self, now: Instant, wanted: bool, actions: &mut Vec<Action>) {
        self.opened = self.opened.wrapping_add(u16::from(wanted));
        // A new port each time.
        let port = (self.local().port() ^ 0x4000).wrapping_add(self.opened);
        let secondary = wanted.then(|| SocketAddrV4::new(*self.local().ip(), port));
        self.station.secondary = secondary;
        if wanted {
            actions.extend(self.call(now, |client| client.secondary_port(now, secondary)));
        }
    }
}
