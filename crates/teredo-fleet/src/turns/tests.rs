use std::collections::HashSet;

use super::*;

fn servers(names: &[&str]) -> Vec<ServerAddr> {
    let servers = names.iter().map(|name| name.parse().expect("an address"));
    servers.collect()
}

#[test]
fn each_server_has_its_turn() {
    let servers = servers(&["tls://a.example", "tls://b.example", "tls://c.example"]);
    let turns = Turns::default();
    let first: Vec<_> = (0..3).filter_map(|_| turns.next(&servers)).collect();
    let hosts: HashSet<_> = first
        .iter()
        .map(|server| server.host().to_owned())
        .collect();
    assert_eq!(hosts.len(), 3, "{first:?}");
    // The order is drawn once, and then goes on.
    for round in 0..4 {
        for server in &first {
            assert_eq!(turns.next(&servers).as_ref(), Some(server), "{round}");
        }
    }
}

#[test]
fn the_first_turn_is_drawn() {
    let servers = servers(&["a.example", "b.example", "c.example"]);
    let firsts: HashSet<_> = (0..200)
        .filter_map(|_| Turns::default().next(&servers))
        .map(|server| server.host().to_owned())
        .collect();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn a_single_server_has_every_turn() {
    let one = servers(&["a.example"]);
    let turns = Turns::default();
    assert!((0..3).all(|_| turns.next(&one).as_ref() == one.first()));
    assert_eq!(turns.next(&[]), None);
}
