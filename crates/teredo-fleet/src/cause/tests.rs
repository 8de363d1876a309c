use tokio::time::Instant;

use super::*;

fn attempt(host: &str, error: Option<&str>) -> Attempt {
    Attempt {
        host: host.to_owned(),
        port: 4222,
        error: error.map(plain),
    }
}

/// Of a server that has not been tried, or whose name is known, nothing is said.
#[tokio::test]
async fn each_server_that_fails_has_its_cause() {
    let servers = [
        attempt(
            "192.0.2.1",
            Some("IO error: Connection refused (os error 111)"),
        ),
        attempt("192.0.2.2", Some("timed out")),
        attempt("127.0.0.1", None),
    ];
    let (told, pending) = causes(&servers).await;
    assert_eq!(
        told,
        [
            "192.0.2.1:4222: Connection refused",
            "192.0.2.2:4222: no answer in time"
        ]
    );
    assert!(pending.is_none());
}

#[test]
fn the_faults_of_tls_differ() {
    for (library, words) in [
        (
            "IO error: invalid peer certificate: UnknownIssuer",
            "not in --ca",
        ),
        (
            "IO error: invalid peer certificate: BadSignature",
            "not in --ca",
        ),
        (
            "IO error: invalid peer certificate: certificate expired: at 7",
            "refused: certificate expired: at 7",
        ),
        (
            "IO error: received corrupt message of type InvalidContentType",
            "does not offer TLS",
        ),
        ("IO error: tls handshake eof", "during the TLS handshake"),
        (
            "authorization violation: nats: authorization violation",
            "refuses the credentials",
        ),
        ("IO error: something new", "something new"),
    ] {
        let told = plain(library);
        assert!(told.contains(words) && !told.contains("IO error"), "{told}");
    }
}

/// A short interruption is no trouble, and a cause is not told after a connection.
#[tokio::test(start_paused = true)]
async fn causes_are_told_while_there_is_no_connection() {
    let causes = Arc::new(Causes::default());
    causes.attempts().servers = vec![attempt("192.0.2.1", Some("timed out"))];
    let (sender, mut events) = mpsc::channel(4);
    let start = Instant::now();
    let telling = tokio::spawn(Arc::clone(&causes).tell(sender));
    let Some(Event::ClientError(ClientError::Other(cause))) = events.recv().await else {
        panic!("no cause");
    };
    assert_eq!(
        (cause.as_str(), start.elapsed()),
        ("192.0.2.1:4222: no answer in time", PATIENCE)
    );
    events.recv().await.expect("the cause again");
    assert_eq!(start.elapsed(), PATIENCE + PAUSE + PATIENCE);
    causes.note_connection(true);
    sleep(PAUSE * 10).await;
    assert!(events.try_recv().is_err());
    causes.note_connection(false);
    events.recv().await.expect("the cause of the next time");
    drop(events);
    telling.await.expect("it ends with who receives");
}
