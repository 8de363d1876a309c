//! The port on a real router: Debian's miniupnpd, by PCP and by UPnP.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use teredo_lab::{Capture, Home, Host, NatKind, Process, ping};
use teredo_notify::types::{GatewayStatus, Status};

use crate::world::*;

const PUBLIC: Ipv4Addr = Ipv4Addr::new(44, 128, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);

/// A home whose router maps ports on request, and a client in it that has a state folder.
struct Stage {
    alice: Host,
    home: Home,
    stranger: Host,
    folder: PathBuf,
    world: World,
    _server: Process,
}

impl Stage {
    fn new() -> Self {
        let (world, server) = World::with_server();
        let home = world.internet.home("igd", NatKind::Igd, PUBLIC).unwrap();
        let folder = world.path("state");
        std::fs::create_dir(&folder).unwrap();
        Self {
            alice: home.host("alice").unwrap(),
            stranger: world.internet.host("stranger", &[STRANGER]).unwrap(),
            home,
            folder,
            world,
            _server: server,
        }
    }

    /// The router refuses PCP and NAT-PMP, so UPnP is left.
    fn with_upnp_alone() -> Self {
        let stage = Self::new();
        let refusal = "table inet refusal { chain input { type filter hook input priority 0; udp dport 5351 reject; }\n}\n";
        stage.on_router(&["-f", "-"], refusal);
        stage
    }

    fn client(&self, more: &[&str]) -> Client {
        let socket = self.world.path("alice.sock");
        let mut command = teredo();
        command
            .args(["client", "--server", &SERVER.to_string(), "--socket"])
            .arg(&socket)
            .args(more)
            .env("STATE_DIRECTORY", &self.folder);
        let process = Process::spawn(self.alice.namespace(), "client", &mut command).unwrap();
        Client { process, socket }
    }

    /// Runs the real `nft` on the router.
    fn on_router(&self, arguments: &[&str], input: &str) -> String {
        let file = self.world.path("rules.nft");
        std::fs::write(&file, input).unwrap();
        let mut command = Command::new("nft");
        command
            .args(arguments)
            .stdin(std::fs::File::open(&file).unwrap())
            .stdout(Stdio::piped());
        let child = self.home.router().spawn(&mut command).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "nft {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The ports that the router leads to alice, by its rules.
    fn ports(&self) -> Vec<u16> {
        let rules = self.on_router(&["list", "chain", "inet", "igd", "prerouting"], "");
        let target = format!("dnat ip to {}:", self.alice.ipv4());
        let rules = rules.lines().filter_map(|rule| rule.split_once(&target));
        let port = |rest: &str| rest.split_whitespace().next()?.parse().ok();
        rules.filter_map(|(_, rest)| port(rest)).collect()
    }

    #[track_caller]
    fn until_ports(&self, wanted: &[u16]) {
        eventually(
            SECOND * 5,
            &format!("the ports {wanted:?} on the router"),
            || self.ports() == wanted,
        );
    }

    /// A datagram from a host to which alice has sent nothing.
    fn knock(&self, port: u16) {
        let socket = self.stranger.udp_socket((STRANGER, 0)).unwrap();
        socket
            .send_to(b"nothing of Teredo", (PUBLIC, port))
            .unwrap();
    }
}

fn mapped(status: &Status) -> Option<&GatewayStatus> {
    let gateway = status.gateway.as_ref();
    gateway.filter(|gateway| gateway.state == "mapped")
}

fn dropped(status: &Status) -> u64 {
    status.drops.values().sum()
}

#[track_caller]
fn until_mapped(client: &Client) -> GatewayStatus {
    client.qualified();
    let status = client.until(SECOND * 10, "a mapping by the router", |status| {
        mapped(status).is_some()
    });
    let nat = status.nat_behaviour.as_ref().expect("a NAT");
    assert!(nat.igd, "{nat:?}");
    mapped(&status).expect("mapped").clone()
}

/// R6081-5.3.3-02, R6081-5.3.3-05, R6081-5.3.3-07, R6081-5.3.5-01, R6081-5.6.3-01: the router leads the port to the client
/// before a server is asked, the server sees the same mapping, a stranger's datagram comes in, and at the end the rule is
/// gone.
#[test]
fn a_port_is_mapped_by_pcp_until_the_end() {
    let stage = Stage::new();
    let client = stage.client(&["--igd"]);
    let gateway = until_mapped(&client);
    let status = client.status();
    assert_eq!(gateway.protocol.as_deref(), Some("pcp"));
    assert_eq!(gateway.router, Some(stage.home.gateway()));
    assert_eq!(gateway.external, status.mapped);
    assert_eq!(gateway.nested, Some(false));
    assert_eq!(stage.ports(), [status.port]);
    let log = client.process.lines();
    let line = |text: &str| log.iter().position(|line| line.contains(text));
    assert!(
        line("the router has mapped the port") < line("Teredo address up"),
        "{log:?}"
    );

    let before = dropped(&status);
    stage.knock(status.port);
    client.until(SECOND * 2, "a stranger's datagram", |status| {
        dropped(status) > before
    });

    client.process.signal(Signal::TERM).unwrap();
    stage.until_ports(&[]);
}

/// R6081-5.3.3-02, R6081-5.3.5-01: by UPnP, through a move of the port and a stop.
#[test]
fn a_mapping_by_upnp_moves_with_the_port_and_ends_with_it() {
    let stage = Stage::with_upnp_alone();
    let client = stage.client(&["--igd"]);
    let gateway = until_mapped(&client);
    assert_eq!(gateway.protocol.as_deref(), Some("upnp"));
    assert_eq!(gateway.nested, Some(false));
    stage.until_ports(&[client.status().port]);

    let port = client.connect().rebind(None).unwrap().port;
    stage.until_ports(&[port]);
    let before = dropped(&client.qualified());
    stage.knock(port);
    client.until(SECOND * 2, "a stranger's datagram", |status| {
        dropped(status) > before
    });

    client.connect().stop().unwrap();
    stage.until_ports(&[]);
    let port = client.connect().start().unwrap().port;
    stage.until_ports(&[port]);
    client.process.signal(Signal::TERM).unwrap();
    stage.until_ports(&[]);
}

/// R6081-5.3.3-01, R6081-5.3.3-04: after a kill -9 the next client takes the mapping back, even if it asks for none.
#[test]
fn the_next_client_takes_back_what_a_killed_one_left() {
    for stage in [Stage::new(), Stage::with_upnp_alone()] {
        let client = stage.client(&["--igd"]);
        until_mapped(&client);
        let port = client.status().port;
        client.process.kill().unwrap();
        assert_eq!(stage.ports(), [port], "the router does not know");

        let client = stage.client(&["--port", "41234", "--igd"]);
        until_mapped(&client);
        assert_eq!(stage.ports(), [41234]);
        client.process.kill().unwrap();

        let client = stage.client(&[]);
        stage.until_ports(&[]);
        let status = client.qualified();
        assert_eq!(status.gateway, None);
        assert!(status.nat_behaviour.is_some_and(|nat| !nat.igd));
    }
}

/// A router that has restarted has forgotten the port; the client notices it by its server, and asks again. By then the
/// server sees another mapping than the router's, as behind two NATs: a neighbour gets the router's, too
/// (R6081-5.3.3-07, R6081-5.6.4.1-01).
#[test]
fn a_router_that_has_restarted_is_asked_again() {
    let stage = Stage::new();
    let client = stage.client(&["--igd", "--no-local-discovery"]);
    until_mapped(&client);
    let port = client.status().port;
    stage.home.change_mappings().unwrap();
    stage.until_ports(&[]);
    // Its rules change the source port now, so that the server sees another mapping.
    eventually(SECOND * 20, "the port on the router", || {
        stage.ports() == [port]
    });
    let nested = |status: &Status| mapped(status).and_then(|gateway| gateway.nested);
    client.until(SECOND * 20, "two mappings", |status| {
        nested(status) == Some(true)
    });

    let anna = stage.home.host("anna").unwrap();
    let anna = stage.world.client(&anna, &["--no-local-discovery"]);
    let neighbour = anna.address();
    let server = &stage.world.server;
    let capture = Capture::start(server.namespace(), server.interface()).unwrap();
    // Whether it is answered does not matter.
    let _ = ping(&stage.alice, neighbour, 1, SECOND);
    let [high, low] = port.to_be_bytes();
    let mapping = [44, 128, 0, 1, high, low];
    let tells = |payload: &[u8]| payload.windows(6).any(|part| part == mapping);
    capture
        .wait_for(SECOND * 5, "a bubble with the router's mapping", |frame| {
            frame.udp().is_some_and(|datagram| tells(datagram.payload))
        })
        .unwrap();
}

/// R6081-5.3.3-03: a router that maps no ports, and one that answers nothing, delay the client by 1.5 s at most.
#[test]
fn a_router_that_maps_nothing_is_no_obstacle() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &["--igd"]);
    let status = client.qualified();
    assert!(status.nat_behaviour.is_some_and(|nat| !nat.igd));
    let refused = |status: &Status| {
        let gateway = status.gateway.as_ref();
        gateway.is_some_and(|gateway| gateway.state == "refused")
    };
    client.until(SECOND * 10, "a refusal", refused);
}

/// R6081-5.3.3-03: a host with a public address asks no router, and its servers do not wait for one.
#[test]
fn a_public_host_asks_no_router() {
    let (world, _server) = World::with_server();
    let host = world.internet.host("alice", &[PUBLIC]).unwrap();
    let client = world.client(&host, &["--igd"]);
    let gateway = client.qualified().gateway.expect("a router's state");
    assert_eq!(gateway.state, "refused");
    let reason = gateway.reason.as_deref();
    assert_eq!(reason, Some("the host has a public address"));
}
