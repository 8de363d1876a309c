//! How many of each there are, and their addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::ServerAddress;
use teredo_matrix::{KINDS, Kind};

/// The number of regions. It is part of the run, unlike the number of threads.
pub(crate) const REGIONS: usize = 10;
/// From one region to another.
pub(crate) const CROSSING: Duration = Duration::from_millis(40);
/// The first byte of the addresses of region 0.
const FIRST_NETWORK: u8 = 40;

/// A run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The clients, at most a million.
    pub clients: usize,
    /// The virtual time.
    pub length: Duration,
    /// The seed.
    pub seed: u64,
}

/// The NATs of ten clients. Most home routers filter by address and port, and some carriers' NATs are symmetric.
const NATS: [&str; 10] = [
    "cone",
    "restricted",
    "restricted",
    "port-restricted",
    "port-restricted",
    "port-restricted",
    "port-restricted",
    "port-restricted",
    "port-restricted",
    "symmetric",
];

impl Plan {
    /// How long it takes until all clients have come: ten minutes, or a sixth of a shorter run.
    pub fn arrival(&self) -> Duration {
        Duration::from_secs(600).min(self.length / 6)
    }

    /// The clients of a region.
    pub(crate) fn clients_of(&self, region: usize) -> usize {
        self.clients / REGIONS + usize::from(region < self.clients % REGIONS)
    }

    /// The servers of a region: one for ten thousand clients, and a second one in any case.
    pub(crate) fn servers(&self) -> usize {
        (self.clients / REGIONS).div_ceil(10_000).max(2)
    }

    /// The relays of a region, each with a native host next to it: one for a thousand clients.
    pub(crate) fn relays(&self) -> usize {
        (self.clients / REGIONS).div_ceil(1_000).max(1)
    }

    /// A server of a region.
    pub(crate) fn server(region: usize, number: usize) -> ServerAddress {
        ServerAddress::adjacent(address(region, 1 + 2 * number))
    }

    /// The service port of a relay.
    pub(crate) fn relay(region: usize, number: usize) -> SocketAddrV4 {
        SocketAddrV4::new(address(region, 0x4000 + number), 3545)
    }

    /// The native host next to a relay.
    pub(crate) fn native(region: usize, number: usize) -> Ipv6Addr {
        Ipv6Addr::new(0x2600, region as u16, number as u16, 0, 0, 0, 0, 1)
    }

    /// The external address of a client's NAT, which has had `renumbered` others before.
    pub(crate) fn external(&self, region: usize, client: usize, renumbered: usize) -> Ipv4Addr {
        let clients = self.clients_of(region);
        let generations = (0xff_0000 / clients.max(1)).max(1);
        address(
            region,
            0x1_0000 + renumbered % generations * clients + client,
        )
    }

    /// A client's address and port inside, which no other client of the region has.
    pub(crate) fn inside(client: usize) -> SocketAddrV4 {
        let ip = u32::from(Ipv4Addr::new(10, 0, 1, 0)) + client as u32;
        SocketAddrV4::new(ip.into(), 40_000 + (client % 20_000) as u16)
    }

    /// The client with this address inside.
    pub(crate) fn client_inside(address: Ipv4Addr) -> usize {
        u32::from(address).wrapping_sub(u32::from(Ipv4Addr::new(10, 0, 1, 0))) as usize
    }

    /// The NAT of a client.
    pub(crate) fn nat(region: usize, client: usize) -> &'static Kind {
        // Seven is prime to ten, so that neighbours differ.
        let name = NATS[(client * 7 + region) % NATS.len()];
        let mut kinds = KINDS.iter();
        match kinds.find(|kind| kind.name == name) {
            Some(kind) => kind,
            None => panic!("the matrix has no NAT {name}"),
        }
    }
}

fn address(region: usize, number: usize) -> Ipv4Addr {
    let network = u32::from(FIRST_NETWORK) + region as u32;
    Ipv4Addr::from(network << 24 | number as u32)
}

/// The region of an address.
pub(crate) fn region_of(address: Ipv4Addr) -> Option<usize> {
    let region = address.octets()[0].checked_sub(FIRST_NETWORK)?;
    Some(usize::from(region)).filter(|region| *region < REGIONS)
}

/// The region of a native host.
pub(crate) fn region_of_native(address: Ipv6Addr) -> Option<usize> {
    let [network, region, ..] = address.segments();
    Some(usize::from(region)).filter(|region| network == 0x2600 && *region < REGIONS)
}
