use teredo::Identifier;
use teredo::wire::Secret;

use super::*;

fn settings(primary: [u8; 4], secondary: [u8; 4], allow_private: bool) -> ServerSettings {
    ServerSettings {
        pairs: vec![ServerAddress {
            primary: primary.into(),
            secondary: secondary.into(),
        }],
        allow_private,
        serve: Vec::new(),
        deny: vec![(Ipv4Addr::new(192, 0, 2, 0), 24)],
        secret_file: None,
        allow_plain: false,
        workers: std::num::NonZeroUsize::MIN,
        limits: Default::default(),
        data_path: Default::default(),
        metrics: None,
        socket: ServerSocket::new(None),
    }
}

fn reported(failure: &Failure) -> String {
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    String::from_utf8(bytes).expect("text")
}

/// R4380-5.3.1-03, W-02: a server accepts global unicast addresses only, unless private ones are allowed for a lab. A
/// denied network may contain its own addresses.
#[test]
fn a_server_needs_addresses_that_can_be_reached() {
    let allowed = policy(&settings([192, 0, 2, 1], [192, 0, 2, 2], false)).expect("good addresses");
    assert!(!allowed.permits_address([192, 0, 2, 9].into()));
    assert!(allowed.permits_address([198, 51, 100, 9].into()));
    assert!(policy(&settings([10, 0, 0, 1], [10, 0, 0, 2], true)).is_ok());

    let private = policy(&settings([192, 0, 2, 1], [10, 0, 0, 2], false)).expect_err("private");
    assert!(
        reported(&private).contains("10.0.0.2") && reported(&private).contains("--allow-private")
    );
    let loopback = policy(&settings([127, 0, 0, 1], [127, 0, 0, 2], true)).expect_err("loopback");
    assert!(!reported(&loopback).contains("--allow-private"));
}

#[test]
fn refusals_name_the_address_and_the_next_step() {
    let address = Ipv4Addr::new(192, 0, 2, 2);
    let elsewhere = refusal(BindError::AddressNotAvailable { address }.into());
    assert_eq!(elsewhere.exit(), Exit::Failed);
    assert!(
        reported(&elsewhere).contains("cannot serve: 192.0.2.2"),
        "{}",
        reported(&elsewhere)
    );
    assert!(reported(&elsewhere).contains("ip address add 192.0.2.2/32"));

    let taken = refusal(
        BindError::InUse {
            address,
            port: PORT,
        }
        .into(),
    );
    assert!(reported(&taken).contains("3544") && reported(&taken).contains("ss -lunp"));
    assert_eq!(
        refusal(
            BindError::NotPermitted {
                address,
                port: PORT
            }
            .into()
        )
        .exit(),
        Exit::NotPermitted
    );
}

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
    assert_eq!(
        (line, problem.as_str()),
        (7, "the name 'alice' appears twice")
    );
    let (line, problem) =
        clients(vec![entry(3, "alice", Some("192.0.2.1"))]).expect_err("an unknown word");
    assert!(line == 3 && problem.contains("'retired'"), "{problem}");
}

#[test]
fn drops_are_listed_by_name() {
    let mut drops = DropCounters::default();
    assert_eq!(dropped(&drops), "none");
    drops.count(DropReason::Malformed);
    drops.count(DropReason::Malformed);
    drops.count(DropReason::SelfLoop);
    assert_eq!(dropped(&drops), "3 (malformed 2, self_loop 1)");
}
