use teredo::Identifier;
use teredo::wire::Secret;

use super::*;

fn entry(line: usize, name: &str, word: Option<&str>) -> Entry {
    Entry {
        line,
        identifier: Identifier::new(name.as_bytes()).expect("a name"),
        secret: Secret::new(b"a secret"),
        word: word.map(str::to_owned),
    }
}

#[test]
fn clients_are_known_by_their_names() {
    let clients = clients(vec![
        entry(1, "alice", None),
        entry(2, "bob", Some("retired")),
    ])
    .expect("two clients");
    let retired = |name: &str| clients.get(name.as_bytes()).map(|client| client.retired);
    assert_eq!(
        (retired("alice"), retired("bob"), retired("eve")),
        (Some(false), Some(true), None)
    );
}

#[test]
fn a_name_twice_and_an_unknown_word_are_refused() {
    let (line, problem) =
        clients(vec![entry(1, "alice", None), entry(7, "alice", None)]).expect_err("twice");
    assert_eq!((line, problem.as_str()), (7, "'alice' is there already"));
    let (line, problem) =
        clients(vec![entry(3, "alice", Some("192.0.2.1"))]).expect_err("an unknown word");
    assert!(line == 3 && problem.contains("'retired'"), "{problem}");
}
