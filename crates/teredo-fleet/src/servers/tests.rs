use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

/// The library would try for ever: a host whose servers are away for a day gives up more than a thousand connections.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_up_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let servers = Servers {
        urls: format!("nats://{closed}").parse().unwrap(),
        creds: None,
        ca: None,
    };
    let key = "alice".parse().unwrap();
    let connection = servers
        .connect("a test", &key, Duration::from_secs(1))
        .await;
    let Connection { client, mut events } = connection.unwrap();
    drop(client);
    let end = async {
        while !matches!(
            events.recv().await,
            Some(Event::ClientError(ClientError::MaxReconnects))
        ) {}
    };
    timeout(Duration::from_secs(300), end)
        .await
        .expect("an end of the attempts");
}

#[test]
fn secrets_are_not_shown() {
    let urls: Urls = "nats://user:secret@a.example,TLS://token@b.example"
        .parse()
        .unwrap();
    assert_eq!(urls.to_string(), "nats://a.example,TLS://b.example");
    assert_eq!(
        format!("{urls:?}"),
        "Urls(nats://a.example,TLS://b.example)"
    );
    assert!(!urls.are_encrypted());
    assert!("TLS://b.example".parse::<Urls>().unwrap().are_encrypted());
    let wrong = "nats://user:secret@a.example,ftp://user:secret@b.example";
    let error = wrong.parse::<Urls>().unwrap_err().to_string();
    assert!(
        error.contains("'ftp://b.example'") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn old_servers_are_fragile() {
    for version in ["2.8.4", "2.9.10", "2.9.14-beta.1"] {
        assert!(is_fragile(version), "{version}");
    }
    for version in ["2.9.15", "2.10.0", "3.0.0-dev", "next", ""] {
        assert!(!is_fragile(version), "{version}");
    }
}
