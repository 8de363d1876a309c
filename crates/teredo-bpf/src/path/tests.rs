mod agreement;

use super::*;

/// The instruction by which a program keeps the packet, `r6 = r1`.
const KEEP: [u8; 8] = [0xbf, 0x16, 0, 0, 0, 0, 0, 0];
/// The same from a register that nothing was written to, `r6 = r2`.
const BROKEN: u8 = 0x26;

#[test]
fn the_log_of_the_verifier_is_in_the_error_whole() {
    let mut object = OBJECT.to_vec();
    let at = object.windows(8).position(|bytes| bytes == KEEP).unwrap();
    object[at + 1] = BROKEN;
    let error = Path::load_object(&object, Settings::default()).unwrap_err();
    let text = error.to_string();
    let PathError::Refused { program, log, .. } = error else {
        panic!("{text}");
    };
    assert!(text.contains(&format!("`{program}`")), "{text}");
    assert!(log.contains("R2 !read_ok"), "{log}");
    assert!(log.contains("processed "), "the end of the log: {log}");
    assert!(text.ends_with(&log), "{text}");
}

#[test]
fn without_the_privilege_it_says_so() {
    std::thread::spawn(|| {
        // Capabilities are those of the thread, which is this test's alone.
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).unwrap();
        let error = Path::load(Settings::default()).unwrap_err();
        assert!(matches!(error, PathError::NotPermitted), "{error:?}");
    })
    .join()
    .unwrap();
}

#[test]
fn a_full_map_says_so() {
    let settings = Settings {
        most_peers: 2,
        ..Settings::default()
    };
    let mut path = Path::load(settings).unwrap();
    let interfaces = Interfaces {
        overlay: 2,
        underlay: 1,
    };
    let address = "192.0.2.1:40000".parse().unwrap();
    let entry = Entry::new(crate::Side::Relay, address, address, interfaces, now());
    let peers: Vec<Ipv6Addr> = (1..=3).map(Ipv6Addr::from_bits).collect();
    path.insert(peers[0], &entry).unwrap();
    path.insert(peers[1], &entry).unwrap();
    assert!(matches!(
        path.insert(peers[2], &entry),
        Err(PathError::Full)
    ));
    assert!(path.remove(peers[0]).unwrap().is_some());
    assert!(path.remove(peers[0]).unwrap().is_none());
    path.insert(peers[2], &entry).unwrap();
}

#[test]
fn a_closed_path_stays_closed_when_proofs_are_void() {
    let mut path = Path::load(Settings::default()).unwrap();
    assert_eq!(path.control.get(&SINCE, 0).unwrap(), CLOSED);
    path.require_proof().unwrap();
    assert_eq!(path.control.get(&SINCE, 0).unwrap(), CLOSED);
    path.open().unwrap();
    let since = path.control.get(&SINCE, 0).unwrap();
    assert!(since > CLOSED && since <= nanos(now()));
    path.require_proof().unwrap();
    assert!(path.control.get(&SINCE, 0).unwrap() >= since);
    path.close().unwrap();
    assert_eq!(path.control.get(&SINCE, 0).unwrap(), CLOSED);
}

#[test]
fn many_peers_ask_less_often() {
    let least = Duration::from_secs(2);
    for (peers, seconds) in [(0, 2), (4000, 2), (8000, 4), (16_000, 8), (1_000_000, 8)] {
        let wanted = Duration::from_secs(seconds);
        assert_eq!(interval_for(least, peers), wanted, "{peers}");
    }
    // That of a probe, or of a test.
    let long = Duration::from_secs(3600);
    assert_eq!(interval_for(long, 1_000_000), long);
}

#[test]
fn the_interval_follows_the_number_of_peers() {
    let settings = Settings {
        interval: Duration::from_millis(1),
        ..Settings::default()
    };
    let mut path = Path::load(settings).unwrap();
    let interval = |path: &Path| Duration::from_nanos(path.control.get(&INTERVAL, 0).unwrap());
    let interfaces = Interfaces {
        overlay: 2,
        underlay: 1,
    };
    let address = "192.0.2.1:40000".parse().unwrap();
    let entry = Entry::new(crate::Side::Relay, address, address, interfaces, now());
    let peers: Vec<Ipv6Addr> = (1..=100).map(Ipv6Addr::from_bits).collect();
    for _ in 0..2 {
        for &peer in &peers {
            path.insert(peer, &entry).unwrap();
        }
        // An entry that is replaced is no further peer.
        assert!(interval(&path).abs_diff(Duration::from_millis(50)) <= Duration::from_millis(7));
    }
    for &peer in &peers[10..] {
        path.remove(peer).unwrap();
        path.remove(peer).unwrap();
    }
    assert!(interval(&path).abs_diff(Duration::from_millis(5)) <= Duration::from_millis(1));
    path.remove_all(|_| true).unwrap();
    assert_eq!(interval(&path), Duration::from_millis(1));
}
