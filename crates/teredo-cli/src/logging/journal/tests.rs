use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::*;

fn record(message: &str, fields: &[(&'static str, &str)]) -> Record {
    let fields = fields.iter().map(|&(name, value)| (name, value.to_owned()));
    Record {
        level: Level::WARN,
        target: "teredo::place",
        message: message.to_owned(),
        fields: fields.collect(),
        left_out: 0,
        age: Duration::ZERO,
    }
}

/// The next datagram. A signal does not end the wait.
fn take(receiver: &UnixDatagram, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| {
        rustix::io::read(receiver, &mut *buffer)
    })?)
}

/// A journal, and the other end of its socket.
fn connected() -> io::Result<(Journal, UnixDatagram)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let receiver = UnixDatagram::bind(&path)?;
    let file = File::create(folder.path().join("stderr"))?;
    let status = file.metadata()?;
    let stream = format!("{}:{}", status.dev(), status.ino());
    let journal = Journal::of_standard_error(Some(&stream), &file, &path, "client");
    let journal = journal.ok_or_else(|| io::Error::other("not connected"))?;
    Ok((journal, receiver))
}

#[test]
fn a_line_is_a_datagram_with_priority_and_fields() -> io::Result<()> {
    let (journal, receiver) = connected()?;
    let mut line = record(
        "port in use",
        &[("port", "40001"), ("error", "\"no\nroute\"")],
    );
    (line.left_out, line.age) = (3, Duration::from_secs(52 * 60));
    journal.write(&line);
    let mut datagram = [0; 4096];
    let length = take(&receiver, &mut datagram)?;
    assert_eq!(
        String::from_utf8_lossy(&datagram[..length]),
        "MESSAGE=port in use port=40001 error=\"no route\" (52m 0s ago; left out: 3 more like this)\nPRIORITY=4\n\
         SYSLOG_IDENTIFIER=teredo\nTEREDO_ROLE=client\nTEREDO_TARGET=teredo::place\nTEREDO_PORT=40001\n\
         TEREDO_ERROR=no route\nTEREDO_LEFT_OUT=3\n"
    );
    Ok(())
}

/// A journal that hangs holds nothing up, and the loss is told.
#[test]
fn a_journal_that_does_not_read_is_not_waited_for() -> io::Result<()> {
    let (journal, receiver) = connected()?;
    for _ in 0..10_000 {
        journal.write(&record("again", &[]));
    }
    let mut datagram = [0; 4096];
    receiver.set_nonblocking(true)?;
    let mut taken = 0;
    while take(&receiver, &mut datagram).is_ok() {
        taken += 1;
    }
    journal.write(&record("again", &[]));
    let length = take(&receiver, &mut datagram)?;
    let lost = 10_000 - taken;
    let text = String::from_utf8_lossy(&datagram[..length]);
    assert!(
        text.ends_with(&format!("TEREDO_LOST_LINES={lost}\n")),
        "{text}"
    );
    Ok(())
}

#[test]
fn standard_error_that_goes_elsewhere_is_left_alone() -> io::Result<()> {
    let file = tempfile::tempfile()?;
    let status = file.metadata()?;
    for stream in [
        "",
        "1",
        "1:2",
        "x:y",
        &format!("{}:{}", status.dev(), status.ino() + 1),
    ] {
        assert!(!is_stream(stream, &file), "{stream:?}");
    }
    assert!(is_stream(
        &format!("{}:{}", status.dev(), status.ino()),
        &file
    ));
    Ok(())
}

#[test]
fn names_of_fields_are_the_journals() {
    for (name, field) in [
        ("port", "TEREDO_PORT"),
        ("role", "TEREDO_NODE_ROLE"),
        ("log.target", "TEREDO_LOG_TARGET"),
        (&"x".repeat(100), &format!("TEREDO_{}", "X".repeat(57))),
    ] {
        assert_eq!(field_name(name), field);
    }
}
