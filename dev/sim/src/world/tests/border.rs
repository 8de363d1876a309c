use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// A border whose visitors are kept, and the world in front of it.
fn bordered() -> (World, RawId, RawId, Rc<RefCell<Vec<String>>>) {
    let mut world = World::new(1);
    let host = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let visitors = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&visitors);
    let border = world.add_responder(Network::Internet, &[], move |arrival, _| {
        let text = match arrival {
            Arrival::Udp(datagram) => datagram.destination.to_string(),
            Arrival::Error(error) => error.to_string(),
            Arrival::Native(packet) => packet.len().to_string(),
        };
        seen.borrow_mut().push(text);
    });
    world.set_default_route(border);
    (world, host, border, visitors)
}

#[test]
fn what_nobody_has_goes_to_the_border() {
    let (mut world, host, _, visitors) = bordered();
    let here = socket("192.0.2.1:5");
    world.inject(host, here, socket("198.51.100.1:6"), b"");
    world.inject(host, here, here, b"");
    let native = crate::packet::udp(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, b"1");
    world.send_native_at(at(MS), native);
    // The error about it goes to its source.
    let foreign = Datagram::new(socket("198.51.100.1:6"), here, Vec::new());
    world.inject_datagram(host, Datagram { ttl: 1, ..foreign });
    world.set_silent(ip("198.51.100.2"), true);
    world.inject(host, here, socket("198.51.100.2:6"), b"");
    world.run_for(100 * MS);
    let error = "198.18.0.1 > 198.51.100.1: time exceeded: 198.51.100.1:6 > 192.0.2.1:5";
    assert_eq!(*visitors.borrow(), ["49", "198.51.100.1:6", error]);
    let fates = fates(&world);
    assert_eq!(fates.last(), Some(&Fate::Silenced));
    assert_eq!(world.raw(host).received().len(), 1);
}

#[test]
fn what_comes_over_the_border_comes_in_time() {
    let (mut world, host, border, _) = bordered();
    world.link_mut(border).delay = Duration::ZERO;
    let datagram = Datagram::new(socket("198.51.100.1:6"), socket("192.0.2.1:5"), vec![1]);
    world.inject_at(at(30 * MS), border, datagram.clone());
    let error = IcmpError::about(
        crate::IcmpKind::PortUnreachable,
        ip("192.0.2.1"),
        &Datagram {
            source: datagram.destination,
            destination: datagram.source,
            ..datagram
        },
    );
    world.inject_error_at(at(40 * MS), error);
    world.run_for(100 * MS);
    assert_eq!(world.raw(host).received()[0].at, at(40 * MS));
    assert_eq!(world.raw(host).errors()[0].at, at(50 * MS));
}

#[test]
fn a_native_host_has_the_relay_near_it() {
    let mut world = World::new(1);
    let [near, far] = [1, 2].map(|number| {
        let local = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 3545);
        let config = RelayConfig::new(local, teredo::relay::Served::Networks(Vec::new()));
        world.add_relay(Network::Internet, local, config)
    });
    let [one, two]: [Ipv6Addr; 2] = ["2600::1", "2600::2"].map(|text| text.parse().unwrap());
    world.set_relay_of(one, near);
    let client = "2001:0:cb00:7178:0:efff:3fff:fdfe".parse().unwrap();
    for (source, relay) in [(one, near), (two, far)] {
        world.send_native(&crate::packet::udp(source, client, b"1"));
        world.run_for(20 * MS);
        assert_eq!(world.relay(relay).relay().status().underway, 1, "{source}");
    }
    assert_eq!(world.relay(near).relay().status().underway, 1);
}

/// The observations of an observer.
#[derive(Default)]
struct Seen {
    sent: usize,
    delivered: Vec<(ClientId, Vec<u8>)>,
    events: usize,
}

struct Eye(Rc<RefCell<Seen>>);

impl Observer for Eye {
    fn sent(&mut self, _: Instant, _: HostId, _: &Datagram) {
        self.0.borrow_mut().sent += 1;
    }

    fn delivered(&mut self, _: Instant, client: ClientId, packet: &[u8]) {
        let packet = packet.to_vec();
        self.0.borrow_mut().delivered.push((client, packet));
    }

    fn event(&mut self, _: Instant, _: ClientId, _: &teredo::client::Event) {
        self.0.borrow_mut().events += 1;
    }
}

#[test]
fn an_observer_sees_what_is_not_kept() {
    let mut world = World::new(1);
    world.keep_output(0);
    world.capture_mut().set_mode(crate::CaptureMode::HashOnly);
    let seen = Rc::new(RefCell::new(Seen::default()));
    world.set_observer(Eye(Rc::clone(&seen)));
    let server = ServerAddress::adjacent(ip("192.0.2.1"));
    world.add_server(server);
    let [a, b] = [1, 2].map(|number| {
        let nat = world.add_nat(NatBehaviour::cone(), [203, 0, 113, number]);
        world.add_client(nat, socket("10.0.0.2:40000"), &[server])
    });
    world.run_for(Duration::from_secs(1));
    let [from, to] = [a, b].map(|client| world.client(client).client().status().address.unwrap());
    let packet = crate::packet::udp(from, to, b"hello");
    world.send(a, &packet);
    world.run_for(Duration::from_secs(1));
    let seen = seen.borrow();
    assert_eq!(seen.delivered, [(b, packet)]);
    assert_eq!(seen.sent as u64, world.capture().total());
    assert!(seen.events >= 4, "{} events", seen.events);
}
