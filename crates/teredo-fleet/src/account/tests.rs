use super::*;

fn user(name: &str, role: FleetRole) -> User {
    User::generate(name.parse().unwrap(), role)
}

#[test]
fn a_host_may_write_its_own_key_and_read_nothing() {
    let host = user("web", FleetRole::Host);
    assert_eq!(
        host.publish(),
        [
            "$KV.teredo_ports.web",
            "teredo.ask.web",
            "teredo.api.STREAM.INFO.KV_teredo_ports",
            "$JS.API.STREAM.INFO.KV_teredo_ports"
        ]
    );
    assert_eq!(host.subscribe(), ["_INBOX_web.>", "teredo.confirmed.web.*"]);
}

/// The server writes its answers to any reply subject, so each host has an account of its own.
#[test]
fn no_host_is_in_the_account_of_the_bucket() {
    let text = account(&[
        user("web", FleetRole::Host),
        user("fw1", FleetRole::Perimeter),
    ]);
    let (bucket, hosts) = text.split_once("\"TEREDO-web\"").unwrap();
    assert!(bucket.contains("# perimeter fw1") && !bucket.contains("# host"));
    assert!(hosts.contains("# host web") && !hosts.contains("jetstream {"));
}

#[test]
fn a_reader_writes_nothing() {
    let reader = user("shop", FleetRole::Reader);
    assert!(
        reader
            .publish()
            .iter()
            .all(|subject| subject.starts_with("$JS."))
    );
    assert!(
        !reader
            .publish()
            .iter()
            .any(|subject| subject.contains("STREAM.CREATE"))
    );
}

#[test]
fn a_seed_stands_for_the_same_user_again() {
    let host = user("web", FleetRole::Host);
    let seed = host.seed().unwrap();
    let again = User::with_seed(
        "web".parse().unwrap(),
        FleetRole::Host,
        &format!("{seed}\n"),
    )
    .unwrap();
    assert_eq!(account(&[host]), account(&[again]));
    for other in ["", "SU", "SAAAAA", "hello"] {
        assert!(
            User::with_seed("web".parse().unwrap(), FleetRole::Host, other).is_err(),
            "{other:?}"
        );
    }
}

#[test]
fn no_secret_is_in_the_account() {
    let host = user("web", FleetRole::Host);
    let text = account(std::slice::from_ref(&host));
    assert!(!text.contains(&host.seed().unwrap()));
    assert!(
        text.contains("max_payload: 16384") && text.contains("max_streams: 1"),
        "{text}"
    );
}
