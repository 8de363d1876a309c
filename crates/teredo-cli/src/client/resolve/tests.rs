use super::*;

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// R4380-MS-04: a name with two adjacent addresses is one server.
#[test]
fn adjacent_addresses_are_one_server() {
    let servers = pair(vec![v4("192.0.2.46"), v4("192.0.2.45"), v4("203.0.113.1")]);
    let primaries: Vec<_> = servers.iter().map(|server| server.primary).collect();
    assert_eq!(primaries, [v4("192.0.2.45"), v4("203.0.113.1")]);
    assert_eq!(servers[0].secondary, v4("192.0.2.46"));
}

#[test]
fn an_address_needs_no_name_service() {
    assert_eq!(
        resolve("192.0.2.45").unwrap(),
        [ServerAddress::adjacent(v4("192.0.2.45"))]
    );
}

#[test]
fn a_name_that_fails_keeps_its_addresses() {
    let names = ["a.example".to_owned(), "b.example".to_owned()];
    let server = ServerAddress::adjacent(v4("192.0.2.45"));
    let known = [(server, "a.example".to_owned())];
    let resolution = merge(
        &names,
        vec![Err(io::Error::other("gone")), Ok(Vec::new())],
        &known,
    );
    assert_eq!(resolution.servers, known);
    assert!(resolution.trouble.unwrap().contains("a.example"));
}
