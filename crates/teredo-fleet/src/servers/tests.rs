use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

fn connector(urls: &str) -> Connector {
    let servers = Servers {
        urls: urls.parse().unwrap(),
        creds: None,
        ca: None,
    };
    let key = "alice".parse().unwrap();
    Connector::new(&servers, String::from("a test"), &key, PATIENCE)
}

/// The library would try for ever: a host whose servers are away for a day gives up more than a thousand connections.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_up_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let connection = connector(&format!("nats://{closed}")).connect().await;
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

/// Each of two servers takes connections and answers nothing. Whichever was first, the next connection goes to the other one.
#[tokio::test]
async fn the_next_connection_goes_to_another_server() {
    let [one, other] = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let [first, second] = [&one, &other].map(|server| server.local_addr().unwrap());
    let connector = connector(&format!("nats://{first},nats://{second}"));
    let mut turns = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..8 {
        let connection = connector.connect().await.unwrap();
        let (stream, is_first) = tokio::select! {
            taken = one.accept() => (taken.unwrap().0, true),
            taken = other.accept() => (taken.unwrap().0, false),
        };
        turns.push(is_first);
        silent.push(stream);
        drop(connection);
    }
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
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
