use super::*;

#[test]
fn networks_are_listed_as_people_do() {
    let networks = ["2001::/32", "192.0.2.45/32", "192.0.2.46/32"];
    let networks = networks.map(|text| text.parse().unwrap());
    assert_eq!(listed(&networks[..1]), "2001::/32");
    assert_eq!(listed(&networks[..2]), "2001::/32 and 192.0.2.45/32");
    assert_eq!(
        listed(&networks),
        "2001::/32, 192.0.2.45/32 and 192.0.2.46/32"
    );
}

#[test]
fn the_worse_state_has_the_worse_metric() {
    assert_eq!(metric(Health::Dead), None);
    assert!(metric(Health::Healthy) < metric(Health::Strained));
}
