use super::*;

fn memory() -> Memory {
    Memory {
        schema: SCHEMA.to_owned(),
        machine: machine(),
        servers: vec!["teredo.example.net".to_owned()],
        saved: now(),
        port: 40_001,
        primary: "198.51.100.2".parse().unwrap(),
        secondary: "198.51.100.3".parse().unwrap(),
        address: "2001:0:c633:6402:0:63be:34ff:8efe".parse().unwrap(),
        nat: "restricted".to_owned(),
        refresh_ms: 30_000,
    }
}

fn file_in(folder: &Path) -> MemoryFile {
    MemoryFile {
        path: folder.join("client-teredo.json"),
        failed: false,
    }
}

/// The next client reads what this one has written, and goes on with it.
#[test]
fn the_next_client_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = file_in(folder.path());
    let memory = memory();
    assert_eq!(file.read(&memory.servers), None);
    file.write(&memory);
    assert_eq!(file.read(&memory.servers), Some(memory.clone()));
    let resumption = memory.resumption(false).unwrap();
    assert_eq!(resumption.address.to_ipv6(), memory.address);
    assert_eq!(resumption.server.secondary, memory.secondary);
    assert_eq!(resumption.nat, Nat::Restricted);
    // No half of a file is left beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// An old mapping is gone, unless the port was kept all the time. A time to come is no time at all.
#[test]
fn an_old_memory_needs_the_port() {
    for saved in [now() - 301, now() + 100, 0] {
        let memory = Memory { saved, ..memory() };
        assert!(memory.resumption(false).is_none(), "{saved}");
        assert!(memory.resumption(true).is_some(), "{saved}");
    }
}

/// A file that is damaged, of another version, of another machine or for other servers is not used, and no reason to
/// fail.
#[test]
fn a_file_that_does_not_fit_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_in(folder.path());
    let good = memory();
    let text = serde_json::to_string(&good).unwrap();
    let other = |name: &str, value: &str| {
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[name] = value.into();
        json.to_string()
    };
    for faulty in [
        String::new(),
        text[..text.len() / 2].to_owned(),
        "\0\u{1}".repeat(100),
        "x".repeat(LONGEST as usize + 1),
        other("schema", "teredo.state/2"),
        other("machine", "another"),
        other("address", "2001:0:x"),
        text.replace("40001", "0"),
        text.replace("40001", "70000"),
    ] {
        fs::write(&file.path, &faulty).unwrap();
        let shown = &faulty[..faulty.len().min(80)];
        assert_eq!(file.read(&good.servers), None, "{shown}");
    }
    fs::remove_file(&file.path).unwrap();
    nix::unistd::mkfifo(&file.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(file.read(&good.servers), None, "a pipe");
    fs::remove_file(&file.path).unwrap();
    fs::write(&file.path, &text).unwrap();
    assert!(file.read(&good.servers).is_some());
    assert_eq!(file.read(&["192.0.2.1".to_owned()]), None);
    let foreign = Memory {
        address: "2001:db8::1".parse().unwrap(),
        ..good
    };
    assert!(foreign.resumption(true).is_none(), "no Teredo address");
}

/// A folder that cannot be written to costs a message, once.
#[test]
fn a_full_disk_ends_nothing() {
    let mut file = file_in(Path::new("/proc/nothing"));
    file.write(&memory());
    assert!(file.failed);
    file.write(&memory());
    assert!(file.failed);
}

/// A change is written at once, and the time every minute.
#[test]
fn what_is_the_same_is_written_rarely() {
    let mut written = Written::default();
    let first = memory();
    assert!(written.is_due(&first));
    assert!(!written.is_due(&first));
    let at = |seconds| Memory {
        saved: first.saved + seconds,
        ..first.clone()
    };
    assert!(!written.is_due(&at(59)));
    assert!(written.is_due(&at(60)));
    let moved = Memory {
        port: 40_002,
        ..at(61)
    };
    assert!(written.is_due(&moved));
}
