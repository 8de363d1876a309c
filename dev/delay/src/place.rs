//! The internet of a run: clients behind port-restricted NATs, servers and a relay, every two of them one delay apart.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::NatTraversal;
use teredo::relay::Served;
use teredo::{ClientConfig, RelayConfig, ServerAddress};
use teredo_sim::{CaptureMode, ClientId, NatBehaviour, NatId, Network, RawId, World, packet};

/// From a server or a relay to the native host next to it.
pub(crate) const NATIVE: Duration = Duration::from_millis(10);
/// The address of the native host.
pub(crate) const NATIVE_HOST: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);
const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 3545);
/// Enough to qualify on any of these paths without losses.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers, the first of which clients prefer.
pub(crate) const SERVERS: [ServerAddress; 2] = [server(1), server(3)];

const fn server(number: u8) -> ServerAddress {
    ServerAddress {
        primary: Ipv4Addr::new(192, 0, 2, number),
        secondary: Ipv4Addr::new(192, 0, 2, number + 1),
    }
}

/// A world and what stands in it.
pub(crate) struct Place {
    pub(crate) world: World,
    /// The link of each site is half of the way between two.
    half: Duration,
    mode: NatTraversal,
    pub(crate) native: RawId,
}

impl Place {
    /// The setting is that of all clients. The native host answers questions if it is to.
    pub(crate) fn new(seed: u64, delay: Duration, mode: NatTraversal, answers: bool) -> Self {
        let mut world = World::new(seed);
        world.capture_mut().set_mode(CaptureMode::HashOnly);
        let half = delay / 2;
        for address in SERVERS {
            let server = world.add_server(address);
            world.link_mut(server).delay = half;
        }
        let config = RelayConfig::new(RELAY, Served::Networks(Vec::new()));
        let relay = world.add_relay(Network::Internet, RELAY, config);
        world.link_mut(relay).delay = half;
        let native = world.add_responder(Network::Internet, &[], move |arrival, outbox| {
            if let teredo_sim::Arrival::Native(bytes) = arrival
                && let Some(reply) = packet::echo_reply(bytes).filter(|_| answers)
            {
                outbox.send_native(reply);
            }
        });
        world.attach_native(native, NATIVE_HOST);
        Self {
            world,
            half,
            mode,
            native,
        }
    }

    /// The settings of a client.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig {
            nat_traversal: self.mode,
            ..ClientConfig::default()
        }
    }

    /// A client that does not run yet, and its NAT.
    pub(crate) fn add_client(
        &mut self,
        number: u8,
        behaviour: NatBehaviour,
        config: ClientConfig,
    ) -> (ClientId, NatId) {
        let nat = self.world.add_nat(behaviour, [203, 0, 113, number]);
        self.world.nat_link_mut(nat).delay = self.half;
        let local = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, number), 40_000 + u16::from(number));
        let client = self.world.add_idle_client(nat, local, config);
        self.world.link_mut(client).delay = Duration::ZERO;
        (client, nat)
    }

    /// A client in service behind a port-restricted NAT, and its address.
    pub(crate) fn settle(&mut self, number: u8) -> (ClientId, NatId, Ipv6Addr) {
        let config = self.config();
        let (client, nat) = self.add_client(number, NatBehaviour::port_restricted(), config);
        self.world.start(client, &SERVERS);
        let qualified = self
            .world
            .run_until(PATIENCE, |world| address(world, client).is_some());
        match address(&self.world, client) {
            Some(address) if qualified => (client, nat, address),
            _ => panic!("a client does not qualify without losses"),
        }
    }

    /// The NAT's link loses this share of the datagrams from now on, in each direction.
    pub(crate) fn set_loss(&mut self, nat: NatId, loss: f64) {
        self.world.nat_link_mut(nat).loss = loss;
    }
}

/// The Teredo address of a client in service.
pub(crate) fn address(world: &World, client: ClientId) -> Option<Ipv6Addr> {
    world.client(client).client().status().address
}
