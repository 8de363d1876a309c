use std::net::Ipv4Addr;

use teredo::wire::Secret;
use teredo::{Identifier, ServerAddress};

use super::*;

fn entry(line: usize, name: &str, word: Option<&str>) -> Entry {
    Entry {
        line,
        identifier: Identifier::new(name.as_bytes()).expect("a name"),
        secret: Secret::new(b"a secret"),
        word: word.map(str::to_owned),
    }
}

fn servers() -> [String; 2] {
    ["teredo.example.net", "192.0.2.1"].map(str::to_owned)
}

#[test]
fn each_server_gets_its_own_or_the_one_for_all() {
    let entries = vec![
        entry(1, "alice", None),
        entry(2, "alison", Some("teredo.example.net")),
    ];
    let keys = keys(entries, &servers()).expect("two entries");
    let [one, two, other] =
        [1, 9, 17].map(|last| ServerAddress::adjacent(Ipv4Addr::new(192, 0, 2, last)));
    let names = [
        (one, "192.0.2.1"),
        (two, "teredo.example.net"),
        (other, "teredo.example.net"),
    ];
    let keyring = keys.keyring(names);
    let name = |server: ServerAddress| {
        let found = keyring.get(server.primary);
        found.map(|found| found.identifier.to_string())
    };
    assert_eq!(
        [one, two, other].map(name),
        ["alice", "alison", "alison"].map(|name| Some(name.to_owned()))
    );
}

#[test]
fn a_secret_that_would_never_be_used_is_refused() {
    let refused = |entries| keys(entries, &servers()).expect_err("refused");
    let (line, problem) = refused(vec![entry(4, "alice", Some("retired"))]);
    assert!(
        line == 4 && problem.contains("'retired' is not one of the servers"),
        "{problem}"
    );
    let (line, _) = refused(vec![entry(1, "alice", None), entry(5, "bob", None)]);
    assert_eq!(line, 5);
}
