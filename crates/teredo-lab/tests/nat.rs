//! Every kind of NAT shows, to real datagrams, the mapping and filtering of RFC 4787 that it is named
//! after.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use teredo_lab::{Capture, Home, Host, Internet, LabError, NatKind, Receive, until};

const SECOND: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
const SERVER_2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 46);
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// A home with a host, a server with two addresses, and somebody whom the host never writes to.
struct Scene {
    internet: Internet,
    server: Host,
    stranger: Host,
    home: Home,
    alice: Host,
    /// Alice's socket.
    inside: UdpSocket,
    /// Both addresses of the server on the Teredo port, and the first one on another port.
    first: UdpSocket,
    second: UdpSocket,
    other_port: UdpSocket,
    elsewhere: UdpSocket,
}

impl Scene {
    fn new(kind: NatKind) -> Self {
        let internet = Internet::new().unwrap();
        let server = internet.host("server", &[SERVER, SERVER_2]).unwrap();
        let stranger = internet.host("stranger", &[STRANGER]).unwrap();
        let home = internet.home("home", kind, PUBLIC).unwrap();
        let alice = home.host("alice").unwrap();
        Self {
            inside: open(&alice, alice.ipv4(), 0),
            first: open(&server, SERVER, 3544),
            second: open(&server, SERVER_2, 3544),
            other_port: open(&server, SERVER, 3545),
            elsewhere: open(&stranger, STRANGER, 3544),
            internet,
            server,
            stranger,
            home,
            alice,
        }
    }

    fn local_port(&self) -> u16 {
        self.inside.local_addr().unwrap().port()
    }

    /// Alice writes to `to`; where it seems to come from.
    fn out(&self, to: &UdpSocket) -> SocketAddr {
        out(&self.inside, to)
    }

    /// Whether a datagram from `from` to `to` reaches Alice.
    ///
    /// Where it is not let through, that is seen without waiting for a timeout: a second datagram, from
    /// the endpoint that Alice had written to, is sent over the same links afterwards, and links keep
    /// the order.
    fn comes_in(&self, from: &UdpSocket, to: SocketAddr, control: SocketAddr) -> bool {
        from.send_to(b"in", to).unwrap();
        self.passed_the_core();
        self.first.send_to(b"control", control).unwrap();
        let mut buffer = [0; 16];
        let length = self
            .inside
            .receive(&mut buffer)
            .expect("the control datagram arrives");
        if &buffer[..length] == b"control" {
            return false;
        }
        assert_eq!(&buffer[..length], b"in");
        let length = self
            .inside
            .receive(&mut buffer)
            .expect("the control datagram arrives");
        assert_eq!(&buffer[..length], b"control");
        true
    }

    /// Datagrams of different hosts keep their order once the first of them has passed the core:
    /// one to the server itself, over the same core, shows that.
    fn passed_the_core(&self) {
        for from in [&self.elsewhere, &self.other_port] {
            from.send_to(b"passed", self.first.local_addr().unwrap())
                .unwrap();
            assert_eq!(self.first.receive(&mut [0; 16]).unwrap(), 6);
        }
    }
}

fn open(host: &Host, ip: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = host.udp_socket((ip, port)).unwrap();
    socket.set_read_timeout(Some(2 * SECOND)).unwrap();
    socket
}

fn out(inside: &UdpSocket, to: &UdpSocket) -> SocketAddr {
    inside.send_to(b"out", to.local_addr().unwrap()).unwrap();
    to.receive_from(&mut [0; 16])
        .expect("outbound traffic passes")
        .1
}

/// Mapping, then filtering: another port of an address written to, and an address never written to.
fn behaves(kind: NatKind, independent_mapping: bool, same_address: bool, other_address: bool) {
    let scene = Scene::new(kind);
    let mapped = scene.out(&scene.first);
    assert_eq!(mapped.ip(), PUBLIC);

    assert_eq!(
        scene.comes_in(&scene.other_port, mapped, mapped),
        same_address,
        "{kind}: same address"
    );
    assert_eq!(
        scene.comes_in(&scene.elsewhere, mapped, mapped),
        other_address,
        "{kind}: other address"
    );

    let mappings = [&scene.second, &scene.other_port, &scene.elsewhere].map(|to| scene.out(to));
    if independent_mapping {
        assert_eq!(mappings, [mapped; 3], "{kind}: mapping");
        assert_eq!(
            mapped.port(),
            scene.local_port(),
            "{kind}: port preservation"
        );
    } else {
        // 64512 ports to draw four from.
        let mut all = [mapped, mappings[0], mappings[1], mappings[2]].to_vec();
        all.sort();
        all.dedup();
        assert!(all.len() >= 3, "{kind}: {all:?}");
        assert!(
            all.iter().any(|seen| seen.port() != scene.local_port()),
            "{kind}: {all:?}"
        );
    }
    assert!(
        scene.comes_in(&scene.elsewhere, mappings[2], mapped),
        "{kind}: answer"
    );
}

/// RFC 4787 §4.1, §5: endpoint-independent mapping and filtering.
#[test]
fn cone() {
    behaves(NatKind::Cone, true, true, true);
}

/// RFC 4787 §4.1, §5: endpoint-independent mapping, address-dependent filtering.
#[test]
fn restricted() {
    behaves(NatKind::Restricted, true, true, false);
}

/// RFC 4787 §4.1, §5: endpoint-independent mapping, address- and port-dependent filtering.
#[test]
fn port_restricted() {
    behaves(NatKind::PortRestricted, true, false, false);
}

/// RFC 4787 §4.1, §5: address- and port-dependent mapping and filtering.
#[test]
fn symmetric() {
    behaves(NatKind::Symmetric, false, false, false);
}

#[test]
fn none_has_public_addresses() {
    let scene = Scene::new(NatKind::None);
    assert_eq!(scene.alice.ipv4(), PUBLIC);
    let local = scene.inside.local_addr().unwrap();
    scene.elsewhere.send_to(b"in", local).unwrap();
    assert_eq!(
        scene.inside.receive_from(&mut [0; 16]).unwrap().1,
        scene.elsewhere.local_addr().unwrap()
    );
    assert_eq!(scene.out(&scene.first), local);

    let anna = scene.home.host("anna").unwrap();
    assert_eq!(anna.ipv4(), Ipv4Addr::new(198, 51, 100, 2));
    let there = open(&anna, anna.ipv4(), 0);
    assert_eq!(out(&scene.inside, &there), local);
    assert_eq!(out(&there, &scene.first), there.local_addr().unwrap());
    assert!(matches!(
        scene.home.set_public(STRANGER),
        Err(LabError::NotInHome(_))
    ));
    assert!(matches!(
        anna.readdress(PUBLIC),
        Err(LabError::NotInHome(_))
    ));
}

/// A datagram that comes before the mapping exists must not cost the host its port: the filter of the
/// router keeps the tuple free.
#[test]
fn early_datagrams_do_not_occupy_the_mapping() {
    for kind in [NatKind::Cone, NatKind::Restricted, NatKind::PortRestricted] {
        let scene = Scene::new(kind);
        let expected = SocketAddr::from((PUBLIC, scene.local_port()));
        for early in [&scene.first, &scene.second, &scene.elsewhere] {
            early.send_to(b"early", expected).unwrap();
        }
        scene.passed_the_core();
        for to in [&scene.first, &scene.second, &scene.elsewhere] {
            assert_eq!(scene.out(to), expected, "{kind}");
        }
    }
}

/// Where the router's own input is open, an early datagram does cost the host its port towards its sender; and
/// what that sender sends to the port that everybody else sees ends at the router.
#[test]
fn an_open_input_takes_early_datagrams_for_the_routers_own() {
    let scene = Scene::new(NatKind::OpenInput);
    let mapped = scene.out(&scene.first);
    assert_eq!(scene.out(&scene.second), mapped);
    scene.elsewhere.send_to(b"early", mapped).unwrap();
    scene.passed_the_core();
    assert_ne!(scene.out(&scene.elsewhere), mapped);
    assert!(!scene.comes_in(&scene.elsewhere, mapped, mapped));
}

/// Without an early datagram it is a port-restricted NAT.
#[test]
fn open_input() {
    let scene = Scene::new(NatKind::OpenInput);
    let mapped = scene.out(&scene.first);
    assert_eq!(mapped.port(), scene.local_port());
    assert_eq!(
        [&scene.second, &scene.other_port, &scene.elsewhere].map(|to| scene.out(to)),
        [mapped; 3]
    );
    assert!(scene.comes_in(&scene.elsewhere, mapped, mapped));
}

#[test]
fn two_hosts_with_one_port_get_two_mappings() {
    for kind in [NatKind::Cone, NatKind::PortRestricted] {
        let scene = Scene::new(kind);
        let anna = scene.home.host("anna").unwrap();
        let hers = open(&anna, anna.ipv4(), scene.local_port());
        let mapped = [scene.out(&scene.first), out(&hers, &scene.first)];
        assert_ne!(mapped[0], mapped[1], "{kind}");
        for (to, inside) in mapped.into_iter().zip([&scene.inside, &hers]) {
            scene.first.send_to(b"answer", to).unwrap();
            assert_eq!(inside.receive(&mut [0; 16]).unwrap(), 6, "{kind}");
        }
    }
}

#[test]
fn mappings_are_forgotten() {
    for kind in [NatKind::Cone, NatKind::Restricted, NatKind::PortRestricted] {
        let scene = Scene::new(kind);
        let mapped = scene.out(&scene.first);
        scene.home.forget_mappings().unwrap();
        let capture = Capture::start(scene.home.router(), "uplink").unwrap();
        scene.first.send_to(b"lost", mapped).unwrap();
        capture
            .wait_for(SECOND, "the datagram at the router", |frame| {
                frame.udp().is_some_and(|udp| udp.payload == b"lost")
            })
            .unwrap();
        scene.inside.set_nonblocking(true).unwrap();
        assert_eq!(
            scene.inside.receive(&mut [0; 16]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            scene.out(&scene.first),
            mapped,
            "{kind}: a port-preserving NAT maps to it again"
        );
    }
}

#[test]
fn mappings_can_be_made_to_change() {
    for kind in [NatKind::Cone, NatKind::Restricted, NatKind::PortRestricted] {
        let scene = Scene::new(kind);
        let mut seen = vec![scene.out(&scene.first)];
        for _ in 0..3 {
            scene.home.change_mappings().unwrap();
            let mapped = scene.out(&scene.first);
            assert_eq!(mapped.ip(), PUBLIC);
            assert!(!seen.contains(&mapped), "{kind}: {mapped} of {seen:?}");
            seen.push(mapped);
            assert_eq!(
                scene.out(&scene.second),
                mapped,
                "{kind}: still endpoint-independent"
            );
            // The new mapping also works from outside, and the port inside is the host's own.
            let outside = if kind == NatKind::Cone {
                &scene.elsewhere
            } else {
                &scene.second
            };
            assert!(scene.comes_in(outside, mapped, mapped), "{kind}");
        }
    }
}

#[test]
fn the_public_address_can_change() {
    let scene = Scene::new(NatKind::Restricted);
    let before = scene.out(&scene.first);
    let new = Ipv4Addr::new(203, 0, 113, 77);
    scene.home.set_public(new).unwrap();
    assert_eq!(scene.home.public(), new);
    let after = scene.out(&scene.first);
    assert_eq!(after, SocketAddr::from((new, before.port())));
    assert!(scene.comes_in(&scene.other_port, after, after));
    // Somebody else may have the old one now.
    let heir = scene.internet.host("heir", &[PUBLIC]).unwrap();
    let heirs = open(&heir, PUBLIC, 0);
    assert_eq!(out(&heirs, &scene.first), heirs.local_addr().unwrap());
    assert!(matches!(
        scene.home.set_public(SERVER),
        Err(LabError::AddressTaken(_))
    ));
}

/// RFC 4787 §4.3: without outbound traffic a mapping ends, and traffic from outside does not keep it
/// alive (REQ-6). Every datagram comes from a new endpoint, to which no connection exists yet.
#[test]
fn an_idle_mapping_ends_with_its_lifetime() {
    let scene = Scene::new(NatKind::Cone);
    scene.home.set_mapping_lifetime(SECOND).unwrap();
    let mapped = scene.out(&scene.first);
    let arrives = || {
        let stranger = open(&scene.stranger, STRANGER, 0);
        stranger.send_to(b"in", mapped).unwrap();
        stranger
            .send_to(b"passed", scene.first.local_addr().unwrap())
            .unwrap();
        assert_eq!(scene.first.receive(&mut [0; 16]).unwrap(), 6);
        scene.inside.receive(&mut [0; 16]).is_ok()
    };
    scene.inside.set_read_timeout(Some(SECOND / 10)).unwrap();
    assert!(arrives());
    until(10 * SECOND, "the mapping to end", || {
        (!arrives()).then_some(())
    })
    .unwrap();
}

/// RFC 4787 §4.3, REQ-6: outbound traffic keeps a mapping alive, also answers to a host that began from
/// outside.
#[test]
fn answers_keep_a_mapping_alive() {
    let scene = Scene::new(NatKind::Cone);
    scene.home.set_mapping_lifetime(SECOND).unwrap();
    let mapped = scene.out(&scene.first);
    let start = Instant::now();
    while start.elapsed() < 2 * SECOND {
        scene.elsewhere.send_to(b"in", mapped).unwrap();
        let (_, from) = scene.inside.receive_from(&mut [0; 16]).unwrap();
        scene.inside.send_to(b"answer", from).unwrap();
        let (_, from) = scene.elsewhere.receive_from(&mut [0; 16]).unwrap();
        assert_eq!(from, mapped);
    }
    let newcomer = open(&scene.stranger, STRANGER, 0);
    newcomer.send_to(b"in", mapped).unwrap();
    let (_, from) = scene.inside.receive_from(&mut [0; 16]).unwrap();
    assert_eq!(from, newcomer.local_addr().unwrap());
}

/// Where the kernel keeps the book, its own timeouts are the lifetime.
#[test]
fn the_lifetime_is_also_that_of_connections() {
    let scene = Scene::new(NatKind::PortRestricted);
    scene
        .home
        .set_mapping_lifetime(Duration::from_secs(7))
        .unwrap();
    for parameter in [
        "nf_conntrack_udp_timeout",
        "nf_conntrack_udp_timeout_stream",
    ] {
        let path = format!("/proc/sys/net/netfilter/{parameter}");
        let value = scene
            .home
            .router()
            .run(|| std::fs::read_to_string(path))
            .unwrap()
            .unwrap();
        assert_eq!(value.trim(), "7", "{parameter}");
    }
}

/// The rules as `nft` reads them: what the module's documentation says is what the kernel has.
#[test]
fn the_rules_are_those_of_the_documentation() {
    for kind in [
        NatKind::None,
        NatKind::Cone,
        NatKind::Restricted,
        NatKind::PortRestricted,
        NatKind::OpenInput,
        NatKind::Symmetric,
    ] {
        let scene = Scene::new(kind);
        let mut nft = std::process::Command::new("nft");
        nft.args(["-nn", "list", "ruleset"])
            .stdout(std::process::Stdio::piped());
        let child = scene
            .home
            .router()
            .spawn(&mut nft)
            .expect("nft runs: install nftables");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let rules = String::from_utf8(output.stdout).unwrap();
        let has = |text: &str| rules.contains(text);
        println!("{kind}:\n{rules}");
        assert_eq!(rules.is_empty(), kind == NatKind::None);
        assert_eq!(has("policy drop"), kind != NatKind::None);
        assert_eq!(has("fully-random"), kind == NatKind::Symmetric);
        assert_eq!(
            has("map @mappings"),
            matches!(kind, NatKind::Cone | NatKind::Restricted)
        );
        assert_eq!(has("@permitted"), kind == NatKind::Restricted);
        assert_eq!(has("iifname \"uplink\" accept"), kind == NatKind::OpenInput);
    }
    let scene = Scene::new(NatKind::Cone);
    assert_eq!(
        (scene.server.name(), scene.stranger.name()),
        ("server", "stranger")
    );
}
