//! A region: its world, and the passage of time in it.

use std::cell::RefCell;
use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

use teredo::relay::Served;
use teredo::{ClientConfig, Instant, RelayConfig};
use teredo_sim::{Arrival, CaptureMode, ClientId, NatId, Network, RawId, Schedule, World, packet};

use crate::contact::{Open, Target};
use crate::exchange::{Crossing, Traveller};
use crate::life::{Chances, Events, Health, Life, Task};
use crate::plan::{CROSSING, Plan, REGIONS, region_of, region_of_native};
use crate::report::Contacts;
use crate::watch::{Watch, Witness};

/// From a client to the servers and relays of its region, one way.
const WAY: Duration = Duration::from_millis(20);

/// The messages that leave a region, by destination.
type Departures = [Vec<Crossing>; REGIONS];

/// A region.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) number: usize,
    pub(crate) plan: Plan,
    pub(crate) world: World,
    pub(crate) rng: fastrand::Rng,
    pub(crate) tasks: Schedule<Task>,
    pub(crate) clients: Vec<ClientId>,
    pub(crate) nats: Vec<NatId>,
    pub(crate) lives: Vec<Life>,
    pub(crate) servers: Vec<Health>,
    pub(crate) events: Events,
    pub(crate) chances: Chances,
    pub(crate) open: Open,
    pub(crate) watch: Rc<RefCell<Watch>>,
    border: RawId,
    departures: Rc<RefCell<Departures>>,
}

/// The results of a region at the end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) number: usize,
    pub(crate) hash: u64,
    /// The ones that its hosts have sent.
    pub(crate) datagrams: u64,
    pub(crate) events: Events,
    pub(crate) peers: Contacts,
    pub(crate) native: Contacts,
    pub(crate) online: u64,
    pub(crate) qualified: u64,
    pub(crate) watch: Watch,
}

impl Region {
    pub(crate) fn new(plan: Plan, number: usize) -> Self {
        let seed = plan
            .seed
            .wrapping_mul(REGIONS as u64)
            .wrapping_add(number as u64);
        let mut world = World::new(seed);
        world.keep_output(0);
        world.capture_mut().set_mode(CaptureMode::HashOnly);
        let watch = Rc::new(RefCell::new(Watch::new(plan, number)));
        world.set_observer(Witness(Rc::clone(&watch)));
        let departures = Rc::new(RefCell::new(Departures::default()));
        let border = add_border(&mut world, &departures);
        for server in 0..plan.servers() {
            let server = world.add_server(Plan::server(number, server));
            world.link_mut(server).delay = Duration::ZERO;
        }
        for relay in 0..plan.relays() {
            add_relay(&mut world, number, relay);
        }
        let (mut clients, mut nats) = (Vec::new(), Vec::new());
        for client in 0..plan.clients_of(number) {
            let nat = world.add_nat(
                Plan::nat(number, client).behaviour,
                plan.external(number, client, 0),
            );
            // All of the way is the link of the NAT, so a datagram waits once in each direction.
            world.nat_link_mut(nat).delay = WAY;
            nats.push(nat);
            let config = ClientConfig::default();
            let client = world.add_idle_client(nat, Plan::inside(client), config);
            world.link_mut(client).delay = Duration::ZERO;
            clients.push(client);
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut region = Self {
            number,
            plan,
            world,
            chances: Chances::new(&mut rng),
            rng,
            tasks: Schedule::default(),
            lives: vec![Life::default(); clients.len()],
            clients,
            nats,
            servers: vec![Health::default(); plan.servers()],
            events: Events::default(),
            open: Open::default(),
            watch,
            border,
            departures,
        };
        region.begin();
        region
    }

    /// Sends something to another region, or to this one by the same way.
    pub(crate) fn depart(&mut self, region: usize, what: Traveller) {
        let at = self.world.now() + CROSSING;
        self.departures.borrow_mut()[region].push(Crossing { at, what });
    }

    pub(crate) fn take_departures(&mut self) -> Departures {
        self.departures.take()
    }

    /// Takes in what comes from another region.
    pub(crate) fn admit(&mut self, crossings: Vec<Crossing>) {
        for Crossing { at, what } in crossings {
            match what {
                Traveller::Datagram(datagram) => self.world.inject_at(at, self.border, datagram),
                Traveller::Error(error) => self.world.inject_error_at(at, error),
                Traveller::Native(packet) => self.world.send_native_at(at, packet),
                Traveller::Invitation { client, peer } => {
                    self.contact(client, Target::Peer(peer));
                }
                Traveller::Doubt(contact) => self.judge(contact),
            }
        }
    }

    /// Lets time pass until `end`.
    pub(crate) fn run_until(&mut self, end: Instant) {
        loop {
            let next = self.tasks.next_time().map_or(end, |at| at.min(end));
            let watch = Rc::clone(&self.watch);
            let left = next.saturating_duration_since(self.world.now());
            let arrived = self
                .world
                .run_until(left, |_| watch.borrow().has_arrivals());
            if arrived {
                let arrivals = self.watch.borrow_mut().take_arrivals();
                for (client, packet) in arrivals {
                    self.deliver(client, &packet);
                }
                continue;
            }
            while let Some((_, task)) = self.tasks.pop_due(next) {
                self.perform(task);
            }
            if next == end {
                return;
            }
        }
    }

    pub(crate) fn finish(mut self) -> Finished {
        self.count_stranded();
        let statuses = self.clients.iter().map(|client| {
            let status = self.world.client(*client).client().status();
            status.address.is_some()
        });
        let qualified = statuses.filter(|qualified| *qualified).count() as u64;
        let online = self.lives.iter().filter(|life| life.online).count() as u64;
        Finished {
            number: self.number,
            hash: self.world.capture().hash(),
            datagrams: self.world.capture().total(),
            events: self.events,
            peers: self.open.peers,
            native: self.open.native,
            online,
            qualified,
            watch: self.watch.take(),
        }
    }
}

/// The raw host that gets everything for addresses that no host of the region has.
fn add_border(world: &mut World, departures: &Rc<RefCell<Departures>>) -> RawId {
    let departures = Rc::clone(departures);
    let border = world.add_responder(Network::Internet, &[], move |arrival, outbox| {
        let (region, what) = match arrival {
            Arrival::Udp(datagram) => (
                region_of(*datagram.destination.ip()),
                Traveller::Datagram(datagram.clone()),
            ),
            Arrival::Error(error) => (region_of(*error.source.ip()), Traveller::Error(*error)),
            Arrival::Native(packet) => {
                let bytes = packet.get(24..40).and_then(|bytes| bytes.try_into().ok());
                let destination = bytes.map(|bytes: [u8; 16]| Ipv6Addr::from(bytes));
                (
                    destination.and_then(region_of_native),
                    Traveller::Native(packet.to_vec()),
                )
            }
        };
        // Other addresses lead nowhere.
        if let Some(region) = region {
            let at = outbox.now() + CROSSING;
            departures.borrow_mut()[region].push(Crossing { at, what });
        }
    });
    // What arrives is gone at once, and the crossing takes its time.
    world.link_mut(border).delay = Duration::ZERO;
    world.set_default_route(border);
    border
}

/// A relay, and a native host next to it that answers questions.
fn add_relay(world: &mut World, region: usize, number: usize) {
    let service = Plan::relay(region, number);
    let config = RelayConfig {
        max_peers: 1 << 14,
        max_underway: 1 << 12,
        ..RelayConfig::new(service, Served::Networks(Vec::new()))
    };
    let relay = world.add_relay(Network::Internet, service, config);
    world.link_mut(relay).delay = Duration::ZERO;
    let host = world.add_responder(Network::Internet, &[], |arrival, outbox| {
        if let Arrival::Native(bytes) = arrival
            && let Some(reply) = packet::echo_reply(bytes)
        {
            outbox.send_native(reply);
        }
    });
    world.attach_native(host, Plan::native(region, number));
    world.set_relay_of(Plan::native(region, number), relay);
}
