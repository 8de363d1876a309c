//! The machines of the lab, and the cables between them.

use std::net::IpAddr;

use teredo_lab::Namespace;

use super::plan::{
    BACKBONE, BETWEEN, Ends, HOSTS, SERVERS, SIDES, Side, host_cable, host_name, on_cable,
    server_cable,
};
use super::ruleset;

/// The interface of a host or a server.
const ETH0: &str = "eth0";

/// All machines.
pub(super) struct Network {
    pub(super) hosts: Vec<Namespace>,
    perimeters: [Namespace; 2],
    /// The router of the servers' network.
    backbone: Namespace,
    pub(super) servers: [Namespace; SERVERS.len()],
    /// The machine with the Teredo servers.
    pub(super) world: Namespace,
}

impl Network {
    pub(super) fn build() -> anyhow::Result<Self> {
        let perimeters = [router()?, router()?];
        let network = Self {
            hosts: (0..HOSTS)
                .map(|_| Namespace::new())
                .collect::<Result<_, _>>()?,
            perimeters,
            backbone: router()?,
            servers: [Namespace::new()?, Namespace::new()?, Namespace::new()?],
            world: Namespace::new()?,
        };
        let [west, east] = SIDES;
        lay(
            (network.perimeter(west), &to(east.perimeter())),
            (network.perimeter(east), &to(west.perimeter())),
            BETWEEN,
        )?;
        for side in SIDES {
            network.connect(side)?;
        }
        for (number, server) in network.servers.iter().enumerate() {
            let ends = server_cable(number);
            lay(
                (&network.backbone, &to(SERVERS[number])),
                (server, ETH0),
                ends,
            )?;
            server.set_default_route(ETH0, ends[0].into())?;
        }
        for (number, host) in network.hosts.iter().enumerate() {
            let ends = host_cable(number);
            let perimeter = network.perimeter(Side::of(number));
            lay((perimeter, &to(&host_name(number))), (host, ETH0), ends)?;
            host.set_default_route(ETH0, ends[0].into())?;
        }
        let pairs = SIDES.map(Side::server).map(IpAddr::from);
        let servers: Vec<_> = pairs
            .into_iter()
            .flat_map(|first| [first, next(first)])
            .map(|address| (address, 32))
            .collect();
        network.world.set_up("lo", &servers)?;
        Ok(network)
    }

    /// Connects the perimeter of a side, and says what is where.
    fn connect(&self, side: Side) -> anyhow::Result<()> {
        let (name, other) = (side.perimeter(), side.other());
        let perimeter = self.perimeter(side);
        let (to_backbone, to_world) = (side.to_backbone(), side.to_world());
        lay(
            (&self.backbone, &to(name)),
            (perimeter, "backbone"),
            to_backbone,
        )?;
        lay((&self.world, &to(name)), (perimeter, "world"), to_world)?;

        let between = to(other.perimeter());
        let over = other.between().into();
        perimeter.set_route(network(BACKBONE), "backbone", to_backbone[0].into())?;
        perimeter.set_route(network(other.network()), &between, over)?;
        // The Teredo server of this side's hosts is behind the other perimeter.
        perimeter.set_route((side.server().into(), 31), &between, over)?;
        perimeter.set_route((other.server().into(), 31), "world", to_world[0].into())?;
        let back = network(side.network());
        self.backbone
            .set_route(back, &to(name), to_backbone[1].into())?;
        let back = network(other.network());
        self.world.set_route(back, &to(name), to_world[1].into())?;
        ruleset::load(perimeter)
    }

    /// The perimeter of a side.
    pub(super) fn perimeter(&self, side: Side) -> &Namespace {
        &self.perimeters[side as usize]
    }

    /// The datagrams that both perimeters have dropped.
    pub(super) fn drops(&self) -> anyhow::Result<u64> {
        let [west, east] = &self.perimeters;
        Ok(ruleset::drops(west)? + ruleset::drops(east)?)
    }

    /// Cuts the east, with one server of NATS, off the west.
    pub(super) fn cut(&self, server: usize) -> anyhow::Result<()> {
        let east = [to(Side::East.perimeter()), to(SERVERS[server])];
        let others = (0..SERVERS.len()).filter(|other| *other != server);
        let west: Vec<_> = others
            .map(|other| to(SERVERS[other]))
            .chain([to(Side::West.perimeter())])
            .collect();
        ruleset::cut(&self.backbone, [&east, &west])?;
        for side in SIDES {
            ruleset::deafen(self.perimeter(side), &to(side.other().perimeter()))?;
        }
        Ok(())
    }

    /// The end of a host's cable at its perimeter.
    pub(super) fn host_cable(&self, host: usize) -> (&Namespace, String) {
        (self.perimeter(Side::of(host)), to(&host_name(host)))
    }

    /// The end of the cable between the servers' network and a server or a perimeter.
    pub(super) fn backbone_cable(&self, name: &str) -> (&Namespace, String) {
        (&self.backbone, to(name))
    }

    /// Takes the cut back.
    pub(super) fn heal(&self) -> anyhow::Result<()> {
        for router in self.perimeters.iter().chain([&self.backbone]) {
            ruleset::heal(router)?;
        }
        Ok(())
    }
}

fn router() -> anyhow::Result<Namespace> {
    let namespace = Namespace::new()?;
    namespace.set_forwarding()?;
    Ok(namespace)
}

/// The interface that leads to a machine.
fn to(name: &str) -> String {
    format!("to-{name}")
}

fn network((address, length): (std::net::Ipv4Addr, u8)) -> (IpAddr, u8) {
    (address.into(), length)
}

fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => std::net::Ipv4Addr::from_bits(address.to_bits() + 1).into(),
        IpAddr::V6(_) => address,
    }
}

/// Connects two machines, and waits until the cable carries traffic.
fn lay(near: (&Namespace, &str), far: (&Namespace, &str), ends: Ends) -> anyhow::Result<()> {
    near.0.connect(near.1, far.0, far.1)?;
    for ((namespace, interface), address) in [near, far].into_iter().zip(ends) {
        namespace.set_up(interface, &[on_cable(address)])?;
    }
    for (namespace, interface) in [near, far] {
        namespace.wait_until_up(interface, &[])?;
    }
    Ok(())
}
