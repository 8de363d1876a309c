//! Exchanges of the real state machines on the simulated internet: they break no requirement, and each NAT is recognised.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::ServerAddress;
use teredo_sim::{ClientId, NatBehaviour, Vantage, World};
use teredo_trace::{Grade, Kind, Limits, Mapping, NatKind, Role, Trace, trace_file};

const SERVER: [u8; 4] = [192, 0, 2, 1];

struct Pair {
    world: World,
    clients: [ClientId; 2],
}

fn end(text: &str) -> SocketAddrV4 {
    text.parse().expect("an endpoint")
}

/// Two clients behind NATs of this kind, that have qualified if they can.
fn pair(nat: NatBehaviour) -> Pair {
    let mut world = World::new(5);
    let server = ServerAddress::adjacent(SERVER.into());
    world.add_server(server);
    let left = world.add_nat(nat, [203, 0, 113, 1]);
    let right = world.add_nat(nat, [198, 51, 100, 1]);
    let clients = [
        world.add_client(left, end("192.168.1.2:40000"), &[server]),
        world.add_client(right, end("10.0.0.2:41000"), &[server]),
    ];
    world.run_for(Duration::from_secs(5));
    Pair { world, clients }
}

fn read(world: &World, vantage: Vantage) -> Trace {
    trace_file(&world.capture().to_pcap(vantage), Limits::default()).expect("a capture")
}

fn kinds(trace: &Trace) -> Vec<(Option<NatKind>, Option<Mapping>)> {
    let clients = trace.nodes.iter().filter(|node| node.role == Role::Client);
    let nats = clients.filter_map(|node| node.nat.as_ref());
    nats.map(|nat| (nat.kind, nat.mapping)).collect()
}

fn breaches(trace: &Trace) -> Vec<String> {
    let all = trace.packets.iter().flat_map(|packet| {
        let findings = packet.findings.iter();
        findings.map(move |finding| format!("{} {} {}", packet.n, finding.id, finding.text))
    });
    all.collect()
}

fn address(world: &World, client: ClientId) -> Ipv6Addr {
    let status = world.client(client).client().status();
    status.address.expect("it has qualified")
}

/// R4380-5.2.1-11
#[test]
fn qualification_shows_the_kind_of_the_nat() {
    let independent = Some(Mapping::EndpointIndependent);
    for (nat, found) in [
        // Whether strangers get in does not show: our client does not ask with the cone bit (RFC 5991 §3.2).
        (NatBehaviour::cone(), (None, independent)),
        (NatBehaviour::port_restricted(), (None, independent)),
        (NatBehaviour::restricted(), (None, independent)),
        (
            NatBehaviour::symmetric(),
            (Some(NatKind::Symmetric), Some(Mapping::EndpointDependent)),
        ),
    ] {
        let trace = read(&pair(nat).world, Vantage::Sender);
        assert_eq!(kinds(&trace), [found; 2], "{nat:?}");
        assert_eq!(trace.not_teredo, 0);
        assert_eq!(trace.count(Grade::Fail), 0, "{:#?}", breaches(&trace));
    }
}

#[test]
fn an_hour_of_our_own_client_breaks_nothing() {
    let Pair { mut world, clients } = pair(NatBehaviour::port_restricted());
    let [left, right] = clients.map(|client| address(&world, client));
    for round in 0..20_u16 {
        let mut packet = Vec::new();
        teredo::wire::emit_echo_request(left, right, 64, 7, round, b"0123456789", &mut packet);
        world.send(clients[0], &packet);
        world.run_for(Duration::from_secs(180));
    }
    for vantage in [Vantage::Sender, Vantage::Public] {
        let trace = read(&world, vantage);
        assert_eq!(breaches(&trace), [""; 0], "{vantage:?}");
        assert_eq!(trace.stalls, [], "{vantage:?}");
        let servers = trace.nodes.iter().filter(|node| node.role == Role::Server);
        assert_eq!(servers.count(), 1, "two addresses, one server");
        let clients = trace.nodes.iter().filter(|node| node.role == Role::Client);
        assert_eq!(clients.count(), 2, "{:#?}", trace.nodes);
        for kind in [
            Kind::Solicitation,
            Kind::Advertisement,
            Kind::Bubble,
            Kind::IndirectBubble,
            Kind::Data,
        ] {
            assert!(
                trace.packets.iter().any(|packet| packet.kind == kind),
                "{kind}"
            );
        }
    }
}
