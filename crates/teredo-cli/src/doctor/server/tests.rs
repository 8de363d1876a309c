use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::tests::{check, healthy};
use crate::probe::Report;
use crate::probe::finding;
use teredo_notify::types::Phase;

/// A host whose client is not qualified, and whose probe has this finding alone.
fn with(kind: &finding::Kind, text: &str) -> Seen {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("no answer from server 192.0.2.45 over UDP port 3544".into());
    seen.server.probe = Some(Report::without_server("192.0.2.45", kind.found(text)));
    seen
}

fn kind(id: &str) -> &'static finding::Kind {
    finding::ALL
        .iter()
        .find(|kind| kind.id == id)
        .expect("a kind")
}

/// One text stood for five faults; each has its own now.
#[test]
fn silences_are_told_apart() {
    let cases = [
        ("server.no-process", "no server runs on 192.0.2.45"),
        ("server.secret", "private"),
        ("server.mute", "on the way drops UDP port 3544"),
        ("server.silent", "nothing comes back from 192.0.2.45"),
        ("server.prohibited", "on the way says so"),
        ("server.unreachable", "no way to the address"),
        ("server.own-address", "on another host"),
        ("server.not-teredo", "another program has UDP port 3544"),
        (
            "server.blocked-here",
            "does not let the doctor's own datagram out",
        ),
    ];
    let mut texts = Vec::new();
    for (id, words) in cases {
        let found = check(&with(kind(id), "text"), id::SERVER_ANSWERS);
        let text = format!("{} {} {}", found.what, found.why, found.fix);
        assert_eq!(found.result, Verdict::Fail);
        assert!(text.contains(words), "{id}: {found:?}");
        assert!(!found.fix.is_empty(), "{id}");
        texts.push(text);
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), cases.len());
}

#[test]
fn a_name_is_unknown_or_not_looked_up() {
    let mut seen = with(kind("name.unknown"), "no IPv4 address");
    seen.server.address = None;
    seen.server.name = Some("teredo.example".into());
    let found = check(&seen, id::SERVER_NAME);
    assert_eq!(found.result, Verdict::Fail);
    assert!(
        found.what.contains("teredo.example") && found.fix.contains("getent ahostsv4"),
        "{found:?}"
    );
    seen.server.probe = Some(Report::without_server(
        "x",
        kind("name.silent").found("temporary failure"),
    ));
    assert!(check(&seen, id::SERVER_NAME).fix.contains("resolv.conf"));
}

/// A qualified client has an answer, whatever the doctor's own port is told.
#[test]
fn a_qualified_client_proves_the_server() {
    let mut seen = with(kind("server.silent"), "text");
    seen.status_mut().state = Phase::Qualified;
    assert_eq!(check(&seen, id::SERVER_ANSWERS).result, Verdict::Ok);
}

#[test]
fn a_secret_that_differs_is_named() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some(
        "server 192.0.2.45 answers without a valid authentication: it does not have our secret"
            .into(),
    );
    let found = check(&seen, id::SERVER_ANSWERS);
    assert_eq!(found.result, Verdict::Fail);
    assert!(found.fix.contains("secret_file"), "{found:?}");
}

#[test]
fn an_address_that_clients_refuse_is_named() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("10.0.0.1 cannot be a server: it is a private address".into());
    seen.server.address = Some(ServerAddress::adjacent(Ipv4Addr::new(10, 0, 0, 1)));
    let found = check(&seen, id::SERVER_ADDRESS);
    assert_eq!(found.result, Verdict::Fail);
    assert!(found.fix.contains("allow_private"), "{found:?}");
}
