use std::collections::HashSet;

use super::*;

/// No two machines have the same address, and each host is in the network of its side.
#[test]
fn addresses_are_of_one_machine_each() {
    let mut all = HashSet::new();
    let cables = (0..HOSTS)
        .map(host_cable)
        .chain((0..SERVERS.len()).map(server_cable))
        .chain(SIDES.map(Side::to_backbone))
        .chain(SIDES.map(Side::to_world))
        .chain([BETWEEN]);
    for address in cables.flatten() {
        assert!(all.insert(address), "{address}");
    }
    for host in 0..HOSTS {
        let (network, _) = Side::of(host).network();
        assert_eq!(host_address(host).octets()[..3], network.octets()[..3]);
    }
}

/// A server knows the two others, and includes what 'teredo publish nats-config' wrote.
#[test]
fn a_server_has_routes_to_the_others() {
    let text = configuration(1, Path::new("/lab"));
    assert!(
        text.contains("routes: [ \"tls://192.0.2.6:6222\", \"tls://192.0.2.14:6222\" ]"),
        "{text}"
    );
    assert!(text.contains("/lab/nats2.pem") && text.contains("include \"teredo-fleet.conf\""));
    assert_eq!(urls(), "tls://192.0.2.6,tls://192.0.2.10,tls://192.0.2.14");
}
