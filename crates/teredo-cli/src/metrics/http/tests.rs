use super::*;

/// Reads a request that arrives in these pieces.
fn request(pieces: &[&[u8]]) -> Option<Request> {
    let runtime = crate::daemon::runtime().expect("a runtime");
    let mut stream = stream_of(pieces);
    runtime.block_on(read(&mut stream)).expect("no error")
}

/// A stream that yields one piece a read.
fn stream_of(pieces: &[&[u8]]) -> impl AsyncRead + Unpin {
    let (empty, end): (&[u8], &[u8]) = (&[], &[]);
    let start: Box<dyn AsyncRead + Unpin> = Box::new(empty);
    pieces.iter().fold(start, |before, piece| {
        Box::new(before.chain(io::Cursor::new(piece.to_vec())).chain(end))
    })
}

#[test]
fn the_metrics_are_at_one_place() {
    let refused = |refusal| Some(Request::Refused(refusal));
    for (line, expected) in [
        (
            "GET /metrics HTTP/1.1",
            Some(Request::Metrics { body: true }),
        ),
        (
            "GET /metrics?x=1 HTTP/1.0",
            Some(Request::Metrics { body: true }),
        ),
        (
            "HEAD /metrics HTTP/1.1",
            Some(Request::Metrics { body: false }),
        ),
        (
            "GET http://127.0.0.1:9545/metrics?x HTTP/1.1",
            Some(Request::Metrics { body: true }),
        ),
        ("GET / HTTP/1.1", refused(Refusal::NotFound)),
        ("GET http://metrics HTTP/1.1", refused(Refusal::NotFound)),
        ("GET /metrics/ HTTP/1.1", refused(Refusal::NotFound)),
        ("POST /metrics HTTP/1.1", refused(Refusal::Method)),
        ("GET /metrics", refused(Refusal::Malformed)),
        ("PRI * HTTP/2.0", refused(Refusal::Malformed)),
        ("\u{1}\u{2}", refused(Refusal::Malformed)),
    ] {
        let head = format!("{line}\r\nHost: x\r\n\r\n");
        assert_eq!(request(&[head.as_bytes()]), expected, "{line:?}");
    }
}

#[test]
fn a_request_may_come_in_pieces_and_may_not_be_long() {
    let pieces: Vec<&[u8]> = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        .chunks(1)
        .collect();
    assert_eq!(request(&pieces), Some(Request::Metrics { body: true }));
    assert_eq!(request(&pieces[..30]), None, "it went away");
    assert_eq!(request(&[]), None);
    let long = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(MAX_HEAD)
    );
    let too_long = Some(Request::Refused(Refusal::TooLong));
    assert_eq!(request(&[long.as_bytes()]), too_long);
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(request(&[many.as_bytes()]), too_long);
}

#[test]
fn an_answer_says_how_long_it_is() {
    let said = String::from_utf8(answer("a 1\n# EOF\n", true)).expect("text");
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    assert!(said.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
    assert!(said.contains("\r\nContent-Length: 10\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\na 1\n# EOF\n"), "{said}");
    let head = String::from_utf8(answer("a 1\n# EOF\n", false)).expect("text");
    assert!(head.contains("\r\nContent-Length: 10\r\n") && head.ends_with("\r\n\r\n"));
    let refused = String::from_utf8(Refusal::Method.answer()).expect("text");
    assert!(refused.contains("405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"));
}
