//! A host that runs a Teredo client.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::{Event, LocalSubnet, Resumption};
use teredo::wire::DISCOVERY;
use teredo::{Client, ClientConfig, Instant, ServerAddress, Submission};

use super::journal::Journal;
use super::station::{Station, datagram};
use super::{Action, Stamped};
use crate::datagram::Datagram;
use crate::icmp::IcmpError;

/// A Teredo client with its service port, and a record of its output.
///
/// The host may have further UDP ports, as RFC 6081 §5.4 wants one for each peer. [`World::open_port`] opens one,
/// [`World::send_from`] sends from it, and [`Self::received`] has the datagrams that came in on it. The NAT gives each
/// port mappings of its own. The state machine asks for no such port yet; once it does, its requests are handled where
/// those for the secondary port are.
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

    /// The datagrams that came in on further ports, oldest first. Their destination tells the port.
    pub fn received(&self) -> &[Stamped<Datagram>] {
        self.received.entries()
    }

    /// The ICMP errors about datagrams of any of the host's ports, oldest first. The state machine does not get them
    /// yet.
    pub fn icmp_errors(&self) -> &[Stamped<IcmpError>] {
        self.icmp.entries()
    }

    pub(crate) fn receive_error(&mut self, now: Instant, error: IcmpError) {
        self.icmp.note(now, || error);
    }

    /// Whether datagrams to this address are received.
    pub(crate) fn listens_on(&self, to: SocketAddrV4) -> bool {
        to == self.local()
            || self.secondary() == Some(to)
            || self.joined && to == DISCOVERY
            || self.is_further(to)
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

    pub(crate) fn set_servers(&mut self, now: Instant, servers: &[ServerAddress]) -> Vec<Action> {
        self.call(now, |client| client.set_servers(now, servers))
    }

    pub(crate) fn rebind(&mut self, now: Instant, local: SocketAddrV4) -> Vec<Action> {
        self.station.local = local;
        self.call(now, |client| client.handle_network_change(now, local))
    }

    pub(crate) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        let (submission, mut actions) = self.station.submit(now, packet);
        self.set_secondary_port(now, &mut actions);
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
        if self.is_further(to) {
            self.received
                .note(now, || datagram(from, to, None, payload.to_vec()));
            return Vec::new();
        }
        let mut actions = self.station.receive(now, from, *to.ip(), payload);
        self.set_secondary_port(now, &mut actions);
        actions
    }

    pub(crate) fn wake(&mut self, now: Instant, number: u64) -> Option<Vec<Action>> {
        let mut actions = self.station.wake(now, number)?;
        self.set_secondary_port(now, &mut actions);
        Some(actions)
    }

    pub(crate) fn next_alarm(&mut self) -> Option<(Instant, u64)> {
        self.station.next_alarm()
    }

    fn call(&mut self, now: Instant, change: impl FnOnce(&mut Client)) -> Vec<Action> {
        let mut actions = self.station.call(now, change);
        self.set_secondary_port(now, &mut actions);
        actions
    }

    /// Opens or closes the secondary port if a new event asks for it.
    fn set_secondary_port(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut request = None;
        for event in self.station.new_events.drain(..) {
            actions.push(Action::Tell(event));
            if let Event::SecondaryPort { wanted } = event {
                self.opened = self.opened.wrapping_add(u16::from(wanted));
                request = Some(wanted);
            }
        }
        let Some(wanted) = request else {
            return;
        };
        // A new port each time.
        let port = (self.local().port() ^ 0x4000).wrapping_add(self.opened);
        let secondary = wanted.then(|| SocketAddrV4::new(*self.local().ip(), port));
        self.station.secondary = secondary;
        if wanted {
            actions.extend(self.call(now, |client| client.secondary_port(now, secondary)));
        }
    }
}
