mod agreement;
mod proofs;

use super::*;

#[test]
fn the_log_of_the_verifier_is_in_the_error_whole() {
    // The first `r6 = r1`, by which a program keeps the frame; from a register that nothing was written to, it is refused.
    const KEEP: [u8; 8] = [0xbf, 0x16, 0, 0, 0, 0, 0, 0];
    let mut object = OBJECT.to_vec();
    let at = object.windows(8).position(|bytes| bytes == KEEP).unwrap();
    object[at + 1] = 0x26;
    let error = Server::load_object(&object).unwrap_err();
    let text = error.to_string();
    let PathError::Refused { program, log, .. } = error else {
        panic!("{text}");
    };
    assert!(text.contains(&format!("`{program}`")), "{text}");
    assert!(log.contains("R2 !read_ok"), "{log}");
    assert!(text.ends_with(&log), "{text}");
}

#[test]
fn the_numbers_are_those_of_the_programs() {
    let header = include_str!("../../programs/server.h");
    for outcome in ServerOutcome::ALL {
        let name = outcome.name().to_uppercase();
        let line = format!("\t{name} = {},", outcome as u32);
        assert!(header.contains(&line), "{line}");
    }
    let last = format!("\tOUTCOMES = {},", ServerOutcome::ALL.len());
    assert!(header.contains(&last), "{last}");
    for line in [
        format!("#define PAIRS {MOST_PAIRS}\n"),
        format!("max_entries)[{MOST_SOURCES}];"),
        format!("#define BUCKET_BITS {}\n", BUCKETS.ilog2()),
        format!("SINCE = {SINCE},"),
        format!("INTERVAL = {INTERVAL},"),
        format!("TOKEN = {TOKEN},"),
        format!("DEPTH = {DEPTH},"),
        format!("FACTOR = {FACTOR},"),
    ] {
        assert!(header.contains(&line), "{line}");
    }
}

/// A network that is gone is no source any more, and the longest prefix decides.
#[test]
fn sources_are_replaced() {
    let source = |network: [u8; 4], len, interface| Source {
        network: network.into(),
        len,
        interface: NonZeroU32::new(interface),
    };
    let mut server = Server::load().unwrap();
    let look_up = |server: &Server, address: [u8; 4]| server.sources.get(&Key::new(32, address), 0);
    server
        .set_sources(vec![source([0; 4], 0, 3), source([10, 0, 0, 0], 8, 0)])
        .unwrap();
    assert_eq!(look_up(&server, [192, 0, 2, 1]).unwrap(), 3);
    assert_eq!(look_up(&server, [10, 0, 2, 1]).unwrap(), 0);
    server
        .set_sources(vec![source([10, 0, 0, 0], 16, 4)])
        .unwrap();
    assert!(is_absence(&look_up(&server, [192, 0, 2, 1]).unwrap_err()));
    assert_eq!(look_up(&server, [10, 0, 2, 1]).unwrap(), 4);
    assert!(is_absence(&look_up(&server, [10, 1, 2, 1]).unwrap_err()));
}

#[test]
fn a_closed_path_stays_closed_when_proofs_are_void() {
    let mut server = Server::load().unwrap();
    let since = |server: &Server| server.control.get(&SINCE, 0).unwrap();
    assert_eq!(since(&server), CLOSED);
    server.require_proof().unwrap();
    assert_eq!(since(&server), CLOSED);
    server.open().unwrap();
    assert!(since(&server) > CLOSED && since(&server) <= nanos(now()));
    server.close().unwrap();
    assert_eq!(since(&server), CLOSED);
}
