//! A NAT that grants ports, and ones that say so.

use super::*;

const FOREVER: Duration = Duration::ZERO;
const INSIDE: &str = "10.0.0.2:5000";
const NEIGHBOUR: &str = "10.0.0.3:6000";
const STRANGER: &str = "198.51.100.9:9";

fn misbehaving(igd: Igd) -> Nat {
    nat(NatBehaviour {
        igd: Some(igd),
        ..NatBehaviour::port_restricted()
    })
}

/// RFC 6081 §5.3: a granted port is open to every sender.
#[test]
fn a_granted_port_is_open_to_all() {
    let mut nat = nat(NatBehaviour::igd());
    let inside = socket(INSIDE);
    assert!(nat.inbound(START, socket(STRANGER), 7000).is_err());
    nat.add_port_mapping(START, 7000, inside, FOREVER).unwrap();
    let much_later = START + 100_000 * SECOND;
    for now in [START, much_later] {
        assert_eq!(nat.inbound(now, socket(STRANGER), 7000), Ok(inside));
    }
    assert_eq!(nat.told_address(), Ok(nat.external()));
    assert_eq!(nat.port_mappings(START), [(7000, inside)]);
    nat.delete_port_mapping(START, 7000).unwrap();
    assert!(nat.inbound(START, socket(STRANGER), 7000).is_err());
    assert_eq!(
        nat.delete_port_mapping(START, 7000),
        Err(IgdFailure::Refused(714))
    );
}

#[test]
fn a_lifetime_ends_and_can_be_renewed() {
    let mut nat = nat(NatBehaviour::igd());
    let inside = socket(INSIDE);
    let minute = 60 * SECOND;
    nat.add_port_mapping(START, 7000, inside, minute).unwrap();
    let later = START + 59 * SECOND;
    assert!(nat.inbound(later, socket(STRANGER), 7000).is_ok());
    nat.add_port_mapping(later, 7000, inside, minute).unwrap();
    let end = later + minute;
    assert!(
        nat.inbound(START + 118 * SECOND, socket(STRANGER), 7000)
            .is_ok()
    );
    assert!(nat.inbound(end, socket(STRANGER), 7000).is_err());
    assert!(nat.port_mappings(end).is_empty());
}

/// The server sees the granted port, and behind a symmetric NAT others do not (RFC 6081 §5.3.3 and §5.3.4).
#[test]
fn the_first_mapping_has_the_granted_port() {
    let remotes = ["192.0.2.1:1", "192.0.2.2:1", STRANGER];
    for (mapping, same) in [
        (Mapping::EndpointIndependent, true),
        (Mapping::AddressAndPortDependent, false),
    ] {
        let mut nat = nat(NatBehaviour {
            mapping,
            ports: PortAssignment::Random,
            ..NatBehaviour::igd()
        });
        nat.add_port_mapping(START, 7000, socket(INSIDE), FOREVER)
            .unwrap();
        let ports = remotes.map(|to| {
            nat.outbound(START, socket(INSIDE), socket(to))
                .unwrap()
                .port()
        });
        assert_eq!(ports[0], 7000);
        assert_eq!(ports[1..] == [7000, 7000], same);
        // A sender that the mapping does not admit comes in by the grant.
        assert_eq!(
            nat.inbound(START, socket("203.0.113.200:1"), 7000),
            Ok(socket(INSIDE))
        );
    }
}

/// A port that another socket has is refused, and a granted port is assigned to no other socket.
#[test]
fn a_port_has_one_owner() {
    let mut nat = nat(NatBehaviour::igd());
    let server = socket("192.0.2.1:1");
    nat.outbound(START, socket(NEIGHBOUR), server).unwrap();
    for port in [6000, 7000] {
        let granted = nat.add_port_mapping(START, port, socket(INSIDE), FOREVER);
        assert_eq!(granted.is_ok(), port == 7000);
    }
    assert_eq!(
        nat.add_port_mapping(START, 7000, socket(NEIGHBOUR), FOREVER),
        Err(IgdFailure::Refused(718))
    );
    let wanted = socket("10.0.0.4:7000");
    assert_eq!(nat.outbound(START, wanted, server).unwrap().port(), 7001);
}

#[test]
fn a_restart_forgets_grants() {
    let mut nat = nat(NatBehaviour::igd());
    nat.add_port_mapping(START, 7000, socket(INSIDE), FOREVER)
        .unwrap();
    nat.forget();
    assert!(nat.inbound(START, socket(STRANGER), 7000).is_err());
}

#[test]
fn grants_are_bounded() {
    let mut nat = nat(NatBehaviour::igd());
    let results: Vec<_> = (10_000..11_025)
        .map(|port| nat.add_port_mapping(START, port, socket(INSIDE), FOREVER))
        .collect();
    assert!(results[..1_024].iter().all(Result::is_ok));
    assert_eq!(results[1_024], Err(IgdFailure::Refused(728)));
}

#[test]
fn misbehaviours() {
    let inside = socket(INSIDE);
    let ask = |nat: &mut Nat| nat.add_port_mapping(START, 7000, inside, FOREVER);
    let comes_in = |nat: &mut Nat, now| nat.inbound(now, socket(STRANGER), 7000);

    let mut absent = nat(NatBehaviour::cone());
    assert_eq!(ask(&mut absent), Err(IgdFailure::Absent));
    assert_eq!(absent.told_address(), Err(IgdFailure::Absent));

    let mut refusing = misbehaving(Igd::Refuses(501));
    assert_eq!(ask(&mut refusing), Err(IgdFailure::Refused(501)));

    let mut hanging = misbehaving(Igd::Hangs);
    assert_eq!(ask(&mut hanging), Err(IgdFailure::Silent));
    assert_eq!(
        hanging.delete_port_mapping(START, 7000),
        Err(IgdFailure::Silent)
    );
    assert!(comes_in(&mut hanging, START).is_err());

    let elsewhere = Ipv4Addr::new(198, 51, 100, 77);
    let mut lying = misbehaving(Igd::Lies(elsewhere));
    assert_eq!(ask(&mut lying), Ok(()));
    assert_eq!(lying.told_address(), Ok(elsewhere));
    assert_eq!(comes_in(&mut lying, START), Ok(inside));

    let mut giving = misbehaving(Igd::GivesAnothers);
    giving
        .add_port_mapping(START, 7000, socket(NEIGHBOUR), FOREVER)
        .unwrap();
    assert_eq!(ask(&mut giving), Ok(()));
    assert_eq!(comes_in(&mut giving, START), Ok(socket(NEIGHBOUR)));

    let mut forgetful = misbehaving(Igd::Forgets(10 * SECOND));
    assert_eq!(ask(&mut forgetful), Ok(()));
    assert_eq!(comes_in(&mut forgetful, START + 9 * SECOND), Ok(inside));
    assert!(comes_in(&mut forgetful, START + 10 * SECOND).is_err());
}
