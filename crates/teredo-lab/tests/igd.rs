//! The Internet Gateway Device grants ports to real requests: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP's discovery.

use std::net::{Ipv4Addr, UdpSocket};

use teredo_lab::{Home, Host, Internet, LabError, NatKind, Receive, until};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(44, 128, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const NATPMP_PORT: u16 = 5351;
const UDP: u8 = 17;

struct Scene {
    _internet: Internet,
    stranger: Host,
    home: Home,
    alice: Host,
}

impl Scene {
    fn new(kind: NatKind) -> Self {
        let internet = Internet::new().unwrap();
        let stranger = internet.host("stranger", &[STRANGER]).unwrap();
        let home = internet.home("home", kind, PUBLIC).unwrap();
        let alice = home.host("alice").unwrap();
        Self {
            stranger,
            home,
            alice,
            _internet: internet,
        }
    }

    /// Sends a request to the router; returns the answer.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let socket = self.alice.udp_socket((self.alice.ipv4(), 0)).unwrap();
        socket.connect((self.home.gateway(), NATPMP_PORT)).unwrap();
        answer(&socket, request)
    }

    /// The address that the device has outside, as it says itself (RFC 6886 §3.2).
    fn told_address(&self) -> Ipv4Addr {
        let answer = self.ask(&[0, 0]);
        assert_eq!(answer[..4], [0, 128, 0, 0], "{answer:?}");
        Ipv4Addr::new(answer[8], answer[9], answer[10], answer[11])
    }

    /// Maps a port of alice's to the same port outside, for an hour, by a request of PCP (RFC 6887 §11).
    fn map(&self, port: u16) {
        let mapped = |ip: Ipv4Addr| ip.to_ipv6_mapped().octets();
        let mut request = vec![2, 1, 0, 0];
        request.extend(3600_u32.to_be_bytes());
        request.extend(mapped(self.alice.ipv4()));
        request.extend(*b"a nonce of 1");
        request.extend([UDP, 0, 0, 0]);
        request.extend(port.to_be_bytes());
        request.extend(port.to_be_bytes());
        request.extend(mapped(Ipv4Addr::UNSPECIFIED));
        let answer = self.ask(&request);
        assert_eq!(answer[..4], [2, 129, 0, 0], "{answer:?}");
        assert_eq!(answer[42..44], port.to_be_bytes(), "another port");
        assert_eq!(answer[44..60], mapped(self.home.public()));
    }

    /// Waits until datagrams from strangers come in, or do not: a NAT in user space follows the daemon.
    #[track_caller]
    fn becomes(&self, open: bool, inside: &UdpSocket) {
        let is_so = || (self.comes_in(inside) == open).then_some(());
        until(5 * SECOND, "the mapping to take effect", is_so).unwrap();
    }

    /// Whether a datagram from a stranger to the public address reaches alice's socket.
    fn comes_in(&self, inside: &UdpSocket) -> bool {
        let port = inside.local_addr().unwrap().port();
        let stranger = self.stranger.udp_socket((STRANGER, 0)).unwrap();
        stranger.send_to(b"in", (self.home.public(), port)).unwrap();
        inside.set_read_timeout(Some(SECOND / 2)).unwrap();
        inside.receive(&mut [0; 16]).is_ok()
    }
}

/// RFC 6081 §3.2: the first destination sees the granted port, and another one another port.
#[test]
fn a_symmetric_device_has_another_port_for_each_destination() {
    let scene = Scene::new(NatKind::IgdSymmetric);
    let inside = scene
        .alice
        .udp_socket((scene.alice.ipv4(), 40_000))
        .unwrap();
    scene.map(40_000);
    scene.becomes(true, &inside);
    let mut ports = Vec::new();
    for port in [1, 2] {
        let outside = scene.stranger.udp_socket((STRANGER, port)).unwrap();
        outside.set_read_timeout(Some(SECOND)).unwrap();
        inside.send_to(b"out", (STRANGER, port)).unwrap();
        let (_, from) = outside.receive_from(&mut [0; 16]).unwrap();
        ports.push(from.port());
    }
    assert_eq!(ports[0], 40_000);
    assert_ne!(ports[1], 40_000);
}

fn answer(socket: &UdpSocket, request: &[u8]) -> Vec<u8> {
    socket.set_read_timeout(Some(5 * SECOND)).unwrap();
    socket.send(request).unwrap();
    let mut buffer = [0; 1100];
    let length = socket.receive(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn a_port_is_granted_and_forgotten() {
    is_granted_and_forgotten(NatKind::Igd);
}

#[test]
fn a_port_of_a_symmetric_device_is_granted_and_forgotten() {
    is_granted_and_forgotten(NatKind::IgdSymmetric);
}

/// A granted port is open to senders that the host has never sent to, and a restarted device has forgotten it.
#[track_caller]
fn is_granted_and_forgotten(kind: NatKind) {
    let scene = Scene::new(kind);
    let inside = scene
        .alice
        .udp_socket((scene.alice.ipv4(), 40_000))
        .unwrap();
    assert!(!scene.comes_in(&inside));
    scene.map(40_000);
    scene.becomes(true, &inside);

    let igd = scene.home.igd().unwrap();
    igd.stop();
    assert!(scene.comes_in(&inside), "its mapping is in force");
    scene.home.forget_mappings().unwrap();
    scene.becomes(false, &inside);
    scene.map(40_000);
    scene.becomes(true, &inside);
}

#[test]
fn it_tells_its_address_and_the_next_one() {
    tells_its_address_and_the_next_one(NatKind::Igd);
}

#[test]
fn a_symmetric_device_tells_its_address_and_the_next_one() {
    tells_its_address_and_the_next_one(NatKind::IgdSymmetric);
}

#[track_caller]
fn tells_its_address_and_the_next_one(kind: NatKind) {
    let scene = Scene::new(kind);
    assert_eq!(scene.told_address(), PUBLIC);
    let next = Ipv4Addr::new(44, 128, 0, 9);
    scene.home.set_public(next).unwrap();
    until(5 * SECOND, "the new address", || {
        (scene.told_address() == next).then_some(())
    })
    .unwrap();
}

/// UPnP Device Architecture 1.1, §1.3.2: a search by multicast is answered with the place of the description.
#[test]
fn it_is_found_by_a_search() {
    let scene = Scene::new(NatKind::Igd);
    let socket = scene.alice.udp_socket((scene.alice.ipv4(), 0)).unwrap();
    let search = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                  ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";
    let group = (Ipv4Addr::new(239, 255, 255, 250), 1900);
    socket.send_to(search.as_bytes(), group).unwrap();
    socket.set_read_timeout(Some(5 * SECOND)).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.receive(&mut buffer).unwrap();
    let found = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let place = format!("http://{}:5000/rootDesc.xml", scene.home.gateway());
    assert!(found.contains(&place), "{found}");
}

/// miniupnpd takes addresses for documentation for private ones.
#[test]
fn a_documentation_address_is_refused() {
    let internet = Internet::new().unwrap();
    let public = Ipv4Addr::new(198, 51, 100, 1);
    let refused = internet.home("home", NatKind::Igd, public).unwrap_err();
    assert!(
        matches!(refused, LabError::NotExternal(ip) if ip == public),
        "{refused}"
    );
}
