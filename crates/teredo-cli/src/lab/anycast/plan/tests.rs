use super::*;

/// The guide shows what the lab uses, to the letter.
#[test]
fn the_guide_has_the_configurations_of_the_lab() {
    let guide = include_str!("../../../../../../docs/anycast.md");
    for configuration in [NODES[0].configuration(), router_configuration(Router::East)] {
        assert!(
            guide.contains(&configuration),
            "docs/anycast.md lacks:\n{configuration}"
        );
    }
}

#[test]
fn nothing_is_left_to_fill_in() {
    let nodes = NODES.iter().map(|node| node.configuration());
    let routers = [Router::Core, Router::East, Router::West]
        .into_iter()
        .map(router_configuration);
    for configuration in nodes.chain(routers) {
        assert!(!configuration.contains('@'), "{configuration}");
    }
}

#[test]
fn each_machine_has_its_own_addresses() {
    let cables = NODES.iter().map(|node| node.cable());
    let trunks = TRUNKS.into_iter().map(trunk);
    let all = cables.chain(trunks).flatten().flatten();
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut addresses: Vec<_> = all.filter(|(ip, _)| !is_link_local(ip)).collect();
    let count = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), count);
}
