//! A host that runs a Teredo client.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::{Event, LocalSubnet, Resumption};
use teredo::wire::DISCOVERY;
use teredo::{Client, ClientConfig, Instant, ServerAddress, Submission};

use super::station::Station;
use super::{Action, Stamped};

/// A Teredo client with its service port, and a record of its output.
#[derive(Debug)]
pub struct ClientHost {
    station: Station<Client, Event>,
    /// Whether the host has joined the multicast group of local discovery (RFC 4380 §5.2.8).
    joined: bool,
    /// The number of events that were handled.
    seen: usize,
}

impl ClientHost {
    pub(crate) fn new(
        config: ClientConfig,
        seed: [u8; 32],
        now: Instant,
        local: SocketAddrV4,
    ) -> Self {
        Self {
            station: Station::endpoint(Client::new(config, seed, now), local),
            joined: false,
            seen: 0,
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
        &self.station.delivered
    }

    /// The ICMPv6 errors that the client itself sent to the host, oldest first.
    pub fn errors(&self) -> &[Stamped<Vec<u8>>] {
        &self.station.errors
    }

    /// The events, oldest first.
    pub fn events(&self) -> &[Stamped<Event>] {
        &self.station.events
    }

    /// Whether datagrams to this address are received.
    pub(crate) fn listens_on(&self, to: SocketAddrV4) -> bool {
        to == self.local() || self.secondary() == Some(to) || self.joined && to == DISCOVERY
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
        let opened = Event::SecondaryPort { wanted: true };
        let events = &self.station.events;
        let new = events[self.seen..].iter().rev();
        let request = new.map(|event| event.what).find_map(|event| match event {
            Event::SecondaryPort { wanted } => Some(wanted),
            _ => None,
        });
        self.seen = events.len();
        let Some(wanted) = request else {
            return;
        };
        // A new port each time.
        let times = events.iter().filter(|event| event.what == opened).count();
        let port = (self.local().port() ^ 0x4000).wrapping_add(times as u16);
        let secondary = wanted.then(|| SocketAddrV4::new(*self.local().ip(), port));
        self.station.secondary = secondary;
        if wanted {
            actions.extend(self.call(now, |client| client.secondary_port(now, secondary)));
        }
    }
}
