use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream as Stream};
use std::thread;

use tokio::runtime::Handle;

use super::*;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// An address that nobody listens at.
fn free() -> SocketAddr {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

fn source(text: &'static str) -> Source {
    Box::new(move || Box::pin(std::future::ready(text.to_owned())))
}

/// A runtime on a thread of its own, which goes with the test's process.
fn runtime() -> Handle {
    let runtime = crate::daemon::runtime().expect("a runtime");
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// An endpoint that answers what this source says.
fn serving(source: Source) -> (Handle, Endpoint, SocketAddr) {
    let runtime = runtime();
    let address = free();
    let mut endpoint = Endpoint::bind(Some(address)).expect("a free port");
    show(&runtime, &mut endpoint, source);
    (runtime, endpoint, address)
}

fn show(runtime: &Handle, endpoint: &mut Endpoint, source: Source) {
    let _inside = runtime.enter();
    endpoint.show(source);
}

fn connect(address: SocketAddr) -> Stream {
    let stream = Stream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream
}

fn ask(stream: &mut Stream) -> String {
    let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    asked.expect("a request");
    let mut said = String::new();
    // An error is a connection that was closed, too.
    let _ = stream.read_to_string(&mut said);
    said
}

fn get(address: SocketAddr) -> String {
    ask(&mut connect(address))
}

#[test]
fn a_taken_port_is_a_clear_failure() {
    let other = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = other.local_addr().expect("an address");
    let failure = Endpoint::bind(Some(address)).expect_err("it is taken");
    let mut said = Vec::new();
    failure.report(&mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    for part in [
        format!("cannot serve metrics at {address}"),
        String::from("in use"),
        format!("ss -ltnp sport = :{}", address.port()),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    let elsewhere = "192.0.2.1:9545".parse().expect("an address");
    let failure = Endpoint::bind(Some(elsewhere)).expect_err("it is not this host's");
    assert_eq!(failure.exit(), Exit::Failed);
}

#[test]
fn the_source_is_asked_for_each_scrape() {
    let (runtime, mut endpoint, address) = serving(source("a 1\n# EOF\n"));
    assert!(get(address).ends_with("\r\n\r\na 1\n# EOF\n"));
    show(&runtime, &mut endpoint, source("a 2\n# EOF\n"));
    assert!(get(address).ends_with("\r\n\r\na 2\n# EOF\n"));
}

/// A peer that connects and says nothing, any number of times, costs a bounded number of descriptors and keeps nobody
/// else out.
#[test]
fn silent_connections_make_room() {
    let (_runtime, _endpoint, address) = serving(source("a 1\n# EOF\n"));
    let silent: Vec<_> = (0..100).map(|_| connect(address)).collect();
    assert!(
        get(address).ends_with("# EOF\n"),
        "among a hundred silent ones"
    );
    let open = |mut stream: Stream| {
        let patience = stream.set_read_timeout(Some(Duration::from_millis(1)));
        patience.expect("a timeout");
        // A closed one has an end; an open one has nothing to say.
        stream
            .read(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open = silent.into_iter().map(open).filter(|open| *open).count();
    assert!(open <= CONNECTIONS, "{open} connections are open");
}

/// Those who ask without an end wait for each other, and the source is asked at its pace.
#[test]
fn the_source_is_not_asked_more_often_than_its_pace() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let counting: Source = Box::new(move || {
        noted
            .lock()
            .expect("the list")
            .push(std::time::Instant::now());
        Box::pin(std::future::ready(String::from("# EOF\n")))
    });
    let (_runtime, _endpoint, address) = serving(counting);
    let crowd: Vec<_> = (0..20)
        .map(|_| thread::spawn(move || get(address)))
        .collect();
    for member in crowd {
        let said = member.join().expect("an answer");
        assert!(said.ends_with("# EOF\n"), "{said:?}");
    }
    let asked = asked.lock().expect("the list");
    assert_eq!(asked.len(), 20);
    for pair in asked.windows(2) {
        let gap = pair[1] - pair[0];
        // The clock of the runtime has milliseconds.
        assert!(gap + Duration::from_millis(1) >= PACE, "{gap:?}");
    }
}

/// A daemon that hangs gives an answer all the same.
#[test]
fn a_source_that_hangs_is_unavailable() {
    let hanging: Source = Box::new(|| Box::pin(std::future::pending()));
    let (_runtime, _endpoint, address) = serving(hanging);
    assert!(get(address).starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_reload_moves_it_or_leaves_it() {
    let (runtime, mut endpoint, first) = serving(source("a 1\n# EOF\n"));
    let _inside = runtime.enter();
    let second = free();
    let moved = |endpoint: &mut Endpoint, to: Option<SocketAddr>| {
        let mut new = to;
        let moved = endpoint.reload(Some(first), &mut new);
        assert_eq!(new, Some(first), "the settings need no other daemon");
        moved
    };
    let gone = |address| {
        assert!(Stream::connect(address).is_err(), "{address} is closed");
    };
    assert_eq!(moved(&mut endpoint, Some(first)), Some(false));
    assert_eq!(moved(&mut endpoint, Some(second)), Some(true));
    endpoint.started(true);
    assert!(get(second).ends_with("# EOF\n"));
    gone(first);

    let taken = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = taken
        .local_addr()
        .map(|address| (taken, address))
        .expect("an address");
    assert_eq!(moved(&mut endpoint, Some(taken.1)), None);
    assert!(get(second).ends_with("# EOF\n"), "where it was");

    // The daemon does not start with the other new settings.
    assert_eq!(moved(&mut endpoint, None), Some(true));
    gone(second);
    endpoint.started(false);
    assert!(get(second).ends_with("# EOF\n"), "where it was");

    // The same port of an address that includes the other, and back.
    let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, second.port()));
    for to in [every, second] {
        assert_eq!(moved(&mut endpoint, Some(to)), Some(true), "{to}");
        endpoint.started(true);
        assert!(get(second).ends_with("# EOF\n"), "{to}");
    }
}
