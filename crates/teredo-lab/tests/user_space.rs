//! NATs in user space: the simulator's, on real packets.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Ipv4RecvErr};
use teredo_lab::{DiscardReason, Home, HomeNat, Host, Internet, NatKind, Receive, until};

const SECOND: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
const SERVER_2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 46);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

struct Scene {
    _internet: Internet,
    server: Host,
    home: Home,
    alice: Host,
    inside: UdpSocket,
    /// The server's first address on two ports, and its second address.
    outside: [UdpSocket; 3],
}

impl Scene {
    fn new(nat: &str) -> Self {
        let nat: HomeNat = nat.parse().unwrap();
        let internet = Internet::new().unwrap();
        let server = internet.host("server", &[SERVER, SERVER_2]).unwrap();
        let home = internet.home("home", nat, PUBLIC).unwrap();
        let alice = home.host("alice").unwrap();
        let outside = [(SERVER, 3544), (SERVER, 3545), (SERVER_2, 3544)];
        Self {
            inside: alice.udp_socket((alice.ipv4(), 40_000)).unwrap(),
            outside: outside.map(|end| server.udp_socket(end).unwrap()),
            server,
            home,
            alice,
            _internet: internet,
        }
    }

    /// The sources that the three sockets outside see.
    fn mappings(&self) -> [SocketAddr; 3] {
        [0, 1, 2].map(|to| out(&self.inside, &self.outside[to]))
    }

    /// Which of the sockets outside reach alice at an address that only the first was sent to from.
    fn admitted(&self) -> [bool; 3] {
        let mapped = out(&self.inside, &self.outside[0]);
        self.inside.set_read_timeout(Some(SECOND / 5)).unwrap();
        [0, 1, 2].map(|from| {
            self.outside[from].send_to(b"in", mapped).unwrap();
            self.inside.receive(&mut [0; 16]).is_ok()
        })
    }
}

fn out(inside: &UdpSocket, to: &UdpSocket) -> SocketAddr {
    inside.send_to(b"out", to.local_addr().unwrap()).unwrap();
    to.set_read_timeout(Some(5 * SECOND)).unwrap();
    let (_, from) = to.receive_from(&mut [0; 16]).expect("it passes");
    from
}

/// RFC 4787 §4.1: the names of its mappings.
#[test]
fn mapping_by_name() {
    for (name, same) in [
        ("endpoint-independent", [true, true]),
        ("address-dependent", [true, false]),
        ("address-and-port-dependent", [false, false]),
    ] {
        let scene = Scene::new(&format!("{name}-mapping"));
        let [first, port, address] = scene.mappings();
        assert_eq!([first == port, first == address], same, "{name}");
        assert_eq!(first, (PUBLIC, 40_000).into(), "port preservation");
    }
}

/// RFC 4787 §5: the names of its filterings.
#[test]
fn filtering_by_name() {
    for (name, admitted) in [
        ("endpoint-independent", [true, true, true]),
        ("address-dependent", [true, true, false]),
        ("address-and-port-dependent", [true, false, false]),
    ] {
        let scene = Scene::new(&format!("{name}-filtering"));
        assert_eq!(scene.admitted(), admitted, "{name}");
        let filtered = admitted.iter().filter(|admitted| !**admitted).count();
        let reasons: Vec<_> = scene
            .home
            .discards()
            .list()
            .iter()
            .map(|one| one.reason.to_string())
            .collect();
        assert_eq!(reasons, vec!["filtered"; filtered]);
    }
}

/// RFC 6081 §3.3 and §3.4: the ports of its symmetric NATs.
#[test]
fn symmetric_ports() {
    let ports = |nat: &str| Scene::new(nat).mappings().map(|seen| seen.port());
    assert_eq!(ports("symmetric-preserving"), [40_000, 40_001, 40_002]);
    let [first, second, third] = ports("symmetric-sequential");
    assert_eq!([second, third], [first + 1, first + 2]);
    let [first, second, third] =
        ports("address-and-port-dependent-mapping,sequential-ports-by-two,port-parity");
    assert_eq!(([second, third], first % 2), ([first + 2, first + 4], 0));
}

/// RFC 6081 §2: an address-symmetric NAT.
#[test]
fn symmetric_addresses() {
    let [first, second, third] = Scene::new("address-symmetric")
        .mappings()
        .map(|seen| seen.ip());
    assert_ne!(first, second);
    assert_ne!(second, third);
}

/// RFC 4787 §6: two hosts of a home by their public address.
#[test]
fn hairpinning() {
    let scene = Scene::new("hairpin");
    let anna = scene.home.host("anna").unwrap();
    let hers = anna.udp_socket((anna.ipv4(), 50_000)).unwrap();
    let mapped = [
        out(&scene.inside, &scene.outside[0]),
        out(&hers, &scene.outside[0]),
    ];
    // The first is filtered, as on every such NAT.
    scene.inside.send_to(b"one", mapped[1]).unwrap();
    hers.send_to(b"two", mapped[0]).unwrap();
    scene.inside.set_read_timeout(Some(5 * SECOND)).unwrap();
    let (_, from) = scene.inside.receive_from(&mut [0; 16]).unwrap();
    assert_eq!(from, mapped[1]);
}

/// TCP passes, and an ICMP error finds the socket that it is about (RFC 5508 §4.2).
#[test]
fn connections_and_errors_pass() {
    let scene = Scene::new("symmetric-preserving");
    let listener = scene
        .server
        .namespace()
        .run(|| TcpListener::bind((SERVER, 80)))
        .unwrap();
    let listener = listener.unwrap();
    let stream = scene
        .alice
        .namespace()
        .run(|| TcpStream::connect((SERVER, 80)))
        .unwrap();
    let mut stream = stream.unwrap();
    let (mut there, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), PUBLIC);
    there.write_all(&[7; 100_000]).unwrap();
    drop(there);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, [7; 100_000]);

    let socket = scene.alice.udp_socket((scene.alice.ipv4(), 0)).unwrap();
    socket.connect((SERVER, 9)).unwrap();
    socket.set_read_timeout(Some(5 * SECOND)).unwrap();
    socket.send(b"to nobody").unwrap();
    let error = socket.receive(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

/// A home behind a carrier: two translations, and a datagram with a time to live of 2 dies at the second, with an error.
#[test]
fn two_nats_in_a_row() {
    let scene = Scene::new("carrier");
    assert_eq!(scene.admitted(), [true, false, false]);
    let [first, port, address] = scene.mappings();
    assert_eq!(
        [first, first],
        [port, address],
        "RFC 6888 §3: one port for all destinations"
    );

    let socket = scene.alice.udp_socket((scene.alice.ipv4(), 0)).unwrap();
    setsockopt(&socket, Ipv4RecvErr, &true).unwrap();
    socket.connect((SERVER, 3544)).unwrap();
    socket.set_read_timeout(Some(5 * SECOND)).unwrap();
    for (ttl, dies) in [(2, true), (4, false)] {
        socket.set_ttl(ttl).unwrap();
        socket.send(b"how far").unwrap();
        if dies {
            let error = socket.receive(&mut [0; 16]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        } else {
            assert_eq!(scene.outside[0].receive(&mut [0; 16]).unwrap(), 7);
        }
    }
}

/// The control of a home reaches a NAT in user space.
#[test]
fn control() {
    let scene = Scene::new("symmetric-preserving");
    let seen = |to: usize| out(&scene.inside, &scene.outside[to]);
    assert_eq!(seen(0).port(), 40_000);
    scene.home.change_mappings().unwrap();
    assert!((20_000..21_000).contains(&seen(0).port()));

    let next = Ipv4Addr::new(198, 51, 100, 77);
    scene.home.set_public(next).unwrap();
    assert_eq!(scene.home.public(), next);
    let mapped = seen(0);
    assert_eq!(mapped.ip(), next);

    scene.home.set_mapping_lifetime(SECOND).unwrap();
    let mapped = seen(0);
    scene.inside.set_read_timeout(Some(SECOND / 5)).unwrap();
    until(10 * SECOND, "the mapping to end", || {
        scene.outside[0].send_to(b"in", mapped).unwrap();
        scene.inside.receive(&mut [0; 16]).is_err().then_some(())
    })
    .unwrap();
    let last = scene.home.discards().list().pop().unwrap();
    assert!(matches!(last.reason, DiscardReason::Refused(_)));
}

/// Two homes at once, one behind a kind of the kernel's: the NATs do not see each other.
#[test]
fn two_homes() {
    let internet = Internet::new().unwrap();
    let [one, two] = [
        ("one", HomeNat::Kind(NatKind::SymmetricSequential), PUBLIC),
        ("two", NatKind::Cone.into(), Ipv4Addr::new(203, 0, 113, 1)),
    ]
    .map(|(name, nat, public)| internet.home(name, nat, public).unwrap());
    let (alice, bob) = (one.host("alice").unwrap(), two.host("bob").unwrap());
    let server = internet.host("server", &[SERVER]).unwrap();
    let server = server.udp_socket((SERVER, 3544)).unwrap();
    let his = bob.udp_socket((bob.ipv4(), 5000)).unwrap();
    let mapped = out(&his, &server);
    let hers = alice.udp_socket((alice.ipv4(), 5000)).unwrap();
    hers.send_to(b"hello", mapped).unwrap();
    his.set_read_timeout(Some(5 * SECOND)).unwrap();
    let (_, from) = his.receive_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip(), PUBLIC);
    his.send_to(b"hello", from).unwrap();
    hers.set_read_timeout(Some(5 * SECOND)).unwrap();
    assert_eq!(hers.receive_from(&mut [0; 16]).unwrap().1, mapped);
}

/// RFC 4787 §11: a datagram that is longer than the link's MTU travels in fragments, in both directions.
#[test]
fn fragments_pass() {
    let scene = Scene::new("random-ports");
    let long = [7; 4000];
    let mut buffer = [0; 5000];
    let server = &scene.outside[0];
    for socket in [server, &scene.inside] {
        socket.set_read_timeout(Some(5 * SECOND)).unwrap();
    }
    scene
        .inside
        .send_to(&long, server.local_addr().unwrap())
        .unwrap();
    let (length, from) = server.receive_from(&mut buffer).expect("it passes");
    assert_eq!((&buffer[..length], from.ip()), (&long[..], PUBLIC.into()));
    server.send_to(&long, from).unwrap();
    let length = scene
        .inside
        .receive(&mut buffer)
        .expect("the answer passes");
    assert_eq!(&buffer[..length], &long[..]);
}
