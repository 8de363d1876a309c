use tokio::time::Instant;

use super::*;

fn server(url: &str, failures: usize, error: Option<&str>) -> Server {
    Server {
        addr: url.parse().unwrap(),
        failed_attempts: failures,
        did_connect: false,
        is_discovered: false,
        last_error: error.map(str::to_owned),
    }
}

async fn told(attempts: &Attempts) -> Vec<String> {
    let servers = attempts.rounds().servers.clone();
    causes(&servers, &mut Names::default()).await
}

/// Of a server that has not been tried, and whose name is known, nothing is said.
#[tokio::test]
async fn each_server_that_fails_has_its_cause() {
    let attempts = Attempts::default();
    attempts.note_servers(&[
        server(
            "192.0.2.1",
            1,
            Some("IO error: Connection refused (os error 111)"),
        ),
        server("tls://[2001:db8::1]", 1, Some("timed out")),
        server("127.0.0.1", 0, None),
    ]);
    assert_eq!(
        told(&attempts).await,
        [
            "192.0.2.1:4222: Connection refused",
            "[2001:db8::1]:4222: no answer in time"
        ]
    );
}

/// The library keeps the last error of a server for ever.
#[tokio::test]
async fn an_old_error_is_no_cause() {
    let attempts = Attempts::default();
    let round =
        |failures| attempts.note_servers(&[server("127.0.0.1", failures, Some("timed out"))]);
    round(1);
    round(2);
    assert_eq!(told(&attempts).await, ["127.0.0.1:4222: no answer in time"]);
    // A connection that has been there meanwhile, to another server.
    attempts.note_connection(true);
    attempts.note_connection(false);
    round(2);
    assert!(told(&attempts).await.is_empty());
    round(3);
    assert_eq!(told(&attempts).await.len(), 1);
    // Its name is not found any more: there are no more errors.
    (0..ROUNDS).for_each(|_| round(3));
    assert!(told(&attempts).await.is_empty());
}

/// The end-to-end test `each_fault_is_named` shows that these are the library's words.
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

/// A short interruption is no trouble, and no cause is told while there is a connection.
#[tokio::test(start_paused = true)]
async fn causes_are_told_while_there_is_no_connection() {
    let attempts = Arc::new(Attempts::default());
    attempts.note_servers(&[server("192.0.2.1", 1, Some("timed out"))]);
    let (sender, mut events) = mpsc::channel(4);
    let start = Instant::now();
    let telling = tokio::spawn(Arc::clone(&attempts).tell(sender));
    let Some(Event::ClientError(ClientError::Other(cause))) = events.recv().await else {
        panic!("no cause");
    };
    assert_eq!(
        (cause.as_str(), start.elapsed()),
        ("192.0.2.1:4222: no answer in time", LOOK)
    );
    events.recv().await.expect("the cause again");
    assert_eq!(start.elapsed(), LOOK + PAUSE + LOOK);
    attempts.note_connection(true);
    sleep(PAUSE * 10).await;
    assert!(events.try_recv().is_err());
    attempts.note_connection(false);
    attempts.note_servers(&[server("192.0.2.1", 2, Some("timed out"))]);
    events.recv().await.expect("the cause of the next time");
    drop(events);
    telling.await.expect("it ends with who receives");
}
