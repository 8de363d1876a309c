//! The lab's network: addresses, and the configurations of BIRD.
//!
//! ```text
//!  alice ── NAT ──┐                 ┌── relay1, server1
//!                 ├── core ── east ─┤
//!  native host ───┘     └──── west ─┤   (east and west are connected, too)
//!                                   └── relay2, server2
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that both servers have, and that both relays have.
pub(super) const PAIR: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 45), Ipv4Addr::new(192, 0, 2, 46)];
pub(super) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
pub(super) const HOME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(super) const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// A second native host, which alice does not meet before the story needs one.
pub(super) const FURTHER_NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 2);
/// A host that asks the servers all the time.
pub(super) const CLIENTS_NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

const HOST_TEMPLATE: &str = include_str!("host.conf");
const ROUTER_TEMPLATE: &str = include_str!("router.conf");

/// The service of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Relay,
    Server,
}

/// A router of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Router {
    Core,
    East,
    West,
}

impl Router {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::East => "east",
            Self::West => "west",
        }
    }

    const fn number(self) -> u8 {
        self as u8
    }

    const fn autonomous_system(self) -> u32 {
        64512 + self as u32
    }

    /// The name of the interface that leads to another machine.
    pub(super) fn interface(to: &str) -> String {
        format!("to-{to}")
    }
}

/// A host with a relay or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) router: Router,
    number: u8,
}

/// The host's interface.
pub(super) const ETH0: &str = "eth0";

pub(super) const NODES: [Node; 4] = [
    node("relay1", Kind::Relay, Router::East, 1),
    node("relay2", Kind::Relay, Router::West, 2),
    node("server1", Kind::Server, Router::East, 3),
    node("server2", Kind::Server, Router::West, 4),
];

const fn node(name: &'static str, kind: Kind, router: Router, number: u8) -> Node {
    Node {
        name,
        kind,
        router,
        number,
    }
}

/// The addresses of the two ends of a cable, with the lengths of their networks.
pub(super) type Ends = [Vec<(IpAddr, u8)>; 2];

fn ends(ipv4: [Ipv4Addr; 2], length: u8, network: u16) -> Ends {
    let end = |at: usize| {
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0xff, network, 0, 0, 0, at as u16 + 1);
        // A router without a link-local address finds no neighbours for what it forwards.
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, at as u16 + 1);
        vec![
            (ipv4[at].into(), length),
            (ipv6.into(), 64),
            (link_local.into(), 64),
        ]
    };
    [end(0), end(1)]
}

impl Node {
    /// Its own address, beside those that it shares.
    pub(super) const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 4 * self.number + 2)
    }

    const fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 4 * self.number + 1)
    }

    /// The cable from its router to it.
    pub(super) fn cable(self) -> Ends {
        let addresses = [self.gateway(), self.address()];
        ends(addresses, 30, 0x10 + u16::from(self.number))
    }

    const fn autonomous_system(self) -> u32 {
        64600 + self.number as u32
    }

    /// The addresses that it shares with the other one of its kind.
    pub(super) const fn shared(self) -> &'static [Ipv4Addr] {
        match self.kind {
            Kind::Relay => &[RELAY],
            Kind::Server => &PAIR,
        }
    }

    /// The configuration of BIRD on it.
    pub(super) fn configuration(self) -> String {
        fill(
            HOST_TEMPLATE,
            &[
                ("ADDRESS", self.address().to_string()),
                ("NETWORKS", networks(self.shared())),
                ("INTERFACE", ETH0.to_owned()),
                ("ROUTER", self.gateway().to_string()),
                ("ROUTER_AS", self.router.autonomous_system().to_string()),
                ("AS", self.autonomous_system().to_string()),
            ],
        )
    }
}

/// The cables between routers.
pub(super) const TRUNKS: [[Router; 2]; 3] = [
    [Router::Core, Router::East],
    [Router::Core, Router::West],
    [Router::East, Router::West],
];

pub(super) fn trunk([near, far]: [Router; 2]) -> Ends {
    let number = 10 * near.number() + far.number();
    let address = |end| Ipv4Addr::new(10, 0, number, end);
    ends([address(0), address(1)], 31, u16::from(number))
}

/// The configuration of BIRD on a router.
pub(super) fn router_configuration(router: Router) -> String {
    let mut cables = Vec::new();
    let mut sessions = Vec::new();
    for trunk_ends in TRUNKS {
        let Some(own) = trunk_ends.iter().position(|&end| end == router) else {
            continue;
        };
        let other = trunk_ends[1 - own];
        let addresses = trunk(trunk_ends);
        cables.push(other.name());
        sessions.push(format!(
            "protocol bgp {} from backbone {{ neighbor {} as {}; }}",
            other.name(),
            addresses[1 - own][0].0,
            other.autonomous_system()
        ));
    }
    for node in NODES.iter().filter(|node| node.router == router) {
        cables.push(node.name);
        sessions.push(format!(
            "protocol bgp {} from node {{ neighbor {} as {}; }}",
            node.name,
            node.address(),
            node.autonomous_system()
        ));
    }
    if router == Router::Core {
        // The way to everything else.
        for (family, any) in [("ipv4", "0.0.0.0/0"), ("ipv6", "::/0")] {
            sessions.push(format!(
                "protocol static default_{family} {{ {family}; route {any} blackhole; }}"
            ));
        }
    }
    let cables: Vec<_> = cables
        .into_iter()
        .map(|name| format!("\"{}\"", Router::interface(name)))
        .collect();
    let shared: Vec<_> = [RELAY].into_iter().chain(PAIR).collect();
    fill(
        ROUTER_TEMPLATE,
        &[
            (
                "ID",
                Ipv4Addr::new(10, 0, 0, router.number() + 1).to_string(),
            ),
            ("NETWORKS", networks(&shared)),
            ("CABLES", cables.join(", ")),
            ("AS", router.autonomous_system().to_string()),
            ("SESSIONS", sessions.join("\n")),
        ],
    )
}

fn networks(addresses: &[Ipv4Addr]) -> String {
    let networks: Vec<_> = addresses.iter().map(|ip| format!("{ip}/32")).collect();
    networks.join(", ")
}

fn fill(template: &str, values: &[(&str, String)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("@{name}@"), value)
        })
}

#[cfg(test)]
mod tests;
