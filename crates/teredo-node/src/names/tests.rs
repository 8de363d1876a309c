use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// R4380-MS-04: a name with two adjacent addresses is one server.
#[test]
fn adjacent_addresses_are_one_server() {
    let servers = pair(vec![v4("192.0.2.46"), v4("192.0.2.45"), v4("203.0.113.1")]);
    let primaries: Vec<_> = servers.iter().map(|server| server.primary).collect();
    assert_eq!(primaries, [v4("192.0.2.45"), v4("203.0.113.1")]);
    assert_eq!(servers[0].secondary, v4("192.0.2.46"));
}

#[test]
fn an_address_needs_no_name_service() {
    assert_eq!(
        resolve(&"192.0.2.45".into()).unwrap(),
        [ServerAddress::adjacent(v4("192.0.2.45"))]
    );
}

#[test]
fn a_name_that_fails_keeps_its_addresses() {
    let names = ["a.example", "b.example"].map(ServerName::from);
    let server = ServerAddress::adjacent(v4("192.0.2.45"));
    let known = [(server, "a.example".into())];
    let resolution = merge(
        &names,
        &[Some(Err(io::Error::other("gone"))), Some(Ok(Vec::new()))],
        &known,
    );
    assert_eq!(resolution.servers, known);
    assert!(resolution.trouble.unwrap().contains("a.example"));
}

/// The next server is tried although the name of the first one cannot be looked up in time.
#[tokio::test]
async fn a_silent_name_service_holds_no_other_server_up() {
    fn address_or_silence(name: &ServerName) -> Answer {
        while name.as_str().ends_with(".example") {
            thread::park();
        }
        resolve(name)
    }
    let names = ["silent.example", "192.0.2.45"].map(ServerName::from);
    let (sender, mut results) = mpsc::channel(1);
    let task = tokio::spawn(keep_resolving(
        names.into(),
        sender,
        Arc::default(),
        address_or_silence,
        Pace::USUAL,
    ));
    let first = tokio::time::timeout(PATIENCE * 20, results.recv()).await;
    let first = first.expect("in time").expect("a result");
    let server = ServerAddress::adjacent(v4("192.0.2.45"));
    assert_eq!(first.servers, [(server, "192.0.2.45".into())]);
    assert_eq!(first.trouble, None);
    task.abort();
}

/// A name is looked up again after a loss of the server, and every few minutes without one; an address never is.
#[tokio::test]
async fn a_name_is_looked_up_again() {
    static MOVED: AtomicBool = AtomicBool::new(false);
    fn moving(_: &ServerName) -> Answer {
        let moved = MOVED.load(Ordering::Relaxed);
        let address = if moved { "192.0.2.77" } else { "192.0.2.45" };
        Ok(vec![ServerAddress::adjacent(v4(address))])
    }
    let nudge = Arc::new(Notify::new());
    let rare = Pace {
        lifetime: PATIENCE * 1000,
        pause: Duration::ZERO,
    };
    let often = Pace {
        lifetime: PATIENCE / 100,
        ..rare
    };
    for pace in [rare, often] {
        MOVED.store(false, Ordering::Relaxed);
        let (sender, mut results) = mpsc::channel(1);
        let names = [ServerName::from("teredo.example")];
        let task = tokio::spawn(keep_resolving(
            names.into(),
            sender,
            nudge.clone(),
            moving,
            pace,
        ));
        let mut until = async |address| {
            let answers = async {
                while results.recv().await.unwrap().servers[0].0.primary != v4(address) {}
            };
            let found = tokio::time::timeout(PATIENCE * 20, answers).await;
            found.expect("a look-up in time");
        };
        until("192.0.2.45").await;
        MOVED.store(true, Ordering::Relaxed);
        if pace.lifetime > PATIENCE {
            nudge.notify_one();
        }
        until("192.0.2.77").await;
        task.abort();
    }
}
