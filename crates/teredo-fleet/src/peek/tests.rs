use async_nats::HeaderMap;

use super::*;

const SERVER: [(&str, &str); 4] = [
    ("Nats-Stream", STREAM),
    ("Nats-Subject", "$KV.teredo_ports.alice"),
    ("Nats-Sequence", "7"),
    ("Nats-Time-Stamp", "1970-01-01T00:01:00.5Z"),
];

/// An answer with these fields of the host above those of the server.
fn answer(of_the_host: &[(&str, &str)]) -> Message {
    let mut headers = HeaderMap::new();
    for (name, value) in of_the_host.iter().chain(&SERVER) {
        headers.append(*name, *value);
    }
    Message {
        subject: "_INBOX.1".into(),
        reply: None,
        payload: "{}".into(),
        headers: Some(headers),
        status: None,
        description: None,
        length: 0,
    }
}

#[test]
fn an_answer_is_an_entry() {
    let (number, entry) = read(answer(&[])).unwrap();
    let news = entry.news();
    assert_eq!((number, news.key), (7, "alice"));
    assert_eq!(news.stamp, Duration::from_millis(60_500));
    assert_eq!(news.value, Some(&b"{}"[..]));
    assert!(!news.is_copy);
    let (_, entry) = read(answer(&[("KV-Operation", "DEL")])).unwrap();
    assert_eq!(entry.news().value, None);
}

/// A host that writes the server's fields into its entry is not believed.
#[test]
fn the_fields_of_the_server_count() {
    let forged = [
        ("Nats-Subject", "$KV.teredo_ports.bob"),
        ("Nats-Sequence", "1"),
        ("Nats-Time-Stamp", "2099-01-01T00:00:00Z"),
    ];
    let (number, entry) = read(answer(&forged)).unwrap();
    let news = entry.news();
    assert_eq!((number, news.key), (7, "alice"));
    assert_eq!(news.stamp, Duration::from_millis(60_500));
    // An entry that the server once read from a stream has the field of that time, too.
    let (_, entry) = read(answer(&[("Nats-Stream", STREAM)])).unwrap();
    assert!(entry.news().is_copy);
}

#[test]
fn an_answer_without_the_fields_is_no_entry() {
    let mut message = answer(&[]);
    message.headers = None;
    assert!(read(message).is_none());
    let mut message = answer(&[]);
    message.headers = Some(HeaderMap::new());
    assert!(read(message).is_none());
}
