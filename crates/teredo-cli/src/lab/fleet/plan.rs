//! The plan of the lab: names, addresses, and the configuration of nats-server.
//!
//! ```text
//!  backbone:  nats1..3 192.0.2.6, .10, .14      fw1 192.0.2.18      fw2 192.0.2.22
//!  world:     the Teredo server                 fw1 192.0.2.34      fw2 192.0.2.38
//!  between:                                     fw1 192.0.2.41      fw2 192.0.2.42
//!  west:      host01..10 198.51.100.0/24, behind fw1
//!  east:      host11..20 203.0.113.0/24, behind fw2
//! ```
//!
//! Hosts of the west ask a Teredo server that is behind fw2, and those of the east one that is behind fw1.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// One half of the network, with one perimeter and half of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    West,
    East,
}

pub(super) const SIDES: [Side; 2] = [Side::West, Side::East];
/// The hosts of one side.
pub(super) const HOSTS_EACH: usize = 10;
pub(super) const HOSTS: usize = 2 * HOSTS_EACH;
/// The servers of NATS.
pub(super) const SERVERS: [&str; 3] = ["nats1", "nats2", "nats3"];

/// The servers' network, to which the perimeters let TCP through.
pub(super) const BACKBONE: (Ipv4Addr, u8) = (Ipv4Addr::new(192, 0, 2, 0), 27);

/// A cable's addresses: the ones that the two ends have.
pub(super) type Ends = [Ipv4Addr; 2];

const fn cable(number: u8) -> Ends {
    let first = 4 * number;
    [
        Ipv4Addr::new(192, 0, 2, first + 1),
        Ipv4Addr::new(192, 0, 2, first + 2),
    ]
}

/// The cable between the two perimeters.
pub(super) const BETWEEN: Ends = cable(10);

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::West => Self::East,
            Self::East => Self::West,
        }
    }

    const fn number(self) -> u8 {
        self as u8
    }

    /// The perimeter of this side.
    pub(super) const fn perimeter(self) -> &'static str {
        match self {
            Self::West => "fw1",
            Self::East => "fw2",
        }
    }

    /// The network of its hosts.
    pub(super) const fn network(self) -> (Ipv4Addr, u8) {
        match self {
            Self::West => (Ipv4Addr::new(198, 51, 100, 0), 24),
            Self::East => (Ipv4Addr::new(203, 0, 113, 0), 24),
        }
    }

    /// The cable from the backbone to its perimeter.
    pub(super) const fn to_backbone(self) -> Ends {
        cable(4 + self.number())
    }

    /// The cable from the world to its perimeter.
    pub(super) const fn to_world(self) -> Ends {
        cable(8 + self.number())
    }

    /// The Teredo server that its hosts ask, which has the next address, too. It is behind the other perimeter.
    pub(super) const fn server(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, 130 + 2 * self.number())
    }

    /// The perimeter's end of the cable between the two.
    pub(super) const fn between(self) -> Ipv4Addr {
        BETWEEN[self.number() as usize]
    }

    /// The side of a host.
    pub(super) const fn of(host: usize) -> Self {
        if host < HOSTS_EACH {
            Self::West
        } else {
            Self::East
        }
    }
}

/// The name of a host, which is its key in the bucket.
pub(super) fn host_name(host: usize) -> String {
    format!("host{:02}", host + 1)
}

/// The cable from a perimeter to a host.
pub(super) fn host_cable(host: usize) -> Ends {
    let [a, b, c, _] = Side::of(host).network().0.octets();
    let first = 4 * (host % HOSTS_EACH) as u8;
    [
        Ipv4Addr::new(a, b, c, first + 1),
        Ipv4Addr::new(a, b, c, first + 2),
    ]
}

/// The address of a host.
pub(super) fn host_address(host: usize) -> Ipv4Addr {
    host_cable(host)[1]
}

/// The cable from the backbone to a server of NATS.
pub(super) const fn server_cable(server: usize) -> Ends {
    cable(1 + server as u8)
}

/// The address of a server of NATS.
pub(super) const fn server_address(server: usize) -> Ipv4Addr {
    server_cable(server)[1]
}

/// All servers, as arguments of `--nats` and `--fleet`.
pub(super) fn urls() -> String {
    let urls: Vec<_> = (0..SERVERS.len())
        .map(|server| format!("tls://{}", server_address(server)))
        .collect();
    urls.join(",")
}

/// An address with the length of a cable's network.
pub(super) fn on_cable(address: Ipv4Addr) -> (IpAddr, u8) {
    (address.into(), 30)
}

/// The configuration of a server of NATS, in the folder of the account and the certificates.
///
/// The times are those of a cluster that has to notice a cut quickly: by default, a silent neighbour is noticed after
/// minutes.
pub(super) fn configuration(server: usize, folder: &Path) -> String {
    let file = |name: String| folder.join(name).display().to_string();
    let name = SERVERS[server];
    let address = server_address(server);
    let (certificate, key) = (file(format!("{name}.pem")), file(format!("{name}.key")));
    let (authority, store) = (file("ca.pem".to_owned()), file(format!("{name}.store")));
    let routes: Vec<_> = (0..SERVERS.len())
        .filter(|other| *other != server)
        .map(|other| format!("\"tls://{}:6222\"", server_address(other)))
        .collect();
    format!(
        "server_name: {name}\n\
         listen: \"{address}:4222\"\n\
         http: \"127.0.0.1:8222\"\n\
         ping_interval: \"1s\"\n\
         ping_max: 2\n\
         jetstream {{ store_dir: \"{store}\", max_memory_store: 256MB, max_file_store: 1GB }}\n\
         tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}\n\
         cluster {{\n\
         \x20 name: fleet\n\
         \x20 listen: \"{address}:6222\"\n\
         \x20 routes: [ {} ]\n\
         \x20 tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{authority}\", verify: true }}\n\
         }}\n\
         include \"teredo-fleet.conf\"\n",
        routes.join(", ")
    )
}

#[cfg(test)]
mod tests;
