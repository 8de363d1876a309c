use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::thread;

use super::*;

/// The whole process is stopped and continued while it waits, as by a shell or a freezer.
#[test]
fn a_stop_and_a_continue_go_by_unseen() {
    let (to, from) = UnixDatagram::pair().unwrap();
    to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let receiver = thread::spawn(move || to.receive(&mut [0; 16]));
    let status = Command::new("sh")
        .args([
            "-c",
            "for i in 1 2 3; do kill -STOP $PPID; kill -CONT $PPID; done",
        ])
        .status()
        .unwrap();
    assert!(status.success());
    from.send(b"still here").unwrap();
    assert_eq!(receiver.join().unwrap().unwrap(), 10);
}

#[test]
fn a_timeout_is_told() {
    let (to, _from) = UnixDatagram::pair().unwrap();
    let timeout = Duration::from_millis(20);
    to.set_read_timeout(Some(timeout)).unwrap();
    let start = Instant::now();
    let error = to.receive(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(start.elapsed() >= timeout);
}

#[test]
fn only_interruptions_are_repeated() {
    let mut answers = [
        Err(io::ErrorKind::Interrupted),
        Err(io::ErrorKind::Interrupted),
        Err(io::ErrorKind::ConnectionRefused),
        Ok(7),
    ]
    .into_iter();
    let mut call = || answers.next().unwrap().map_err(io::Error::from);
    let error = uninterrupted(None, &mut call).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(uninterrupted(None, &mut call).unwrap(), 7);
}

#[test]
fn interruptions_without_end_do_not_outlast_the_timeout() {
    let timeout = Duration::from_millis(20);
    let start = Instant::now();
    let interrupted = || Err::<(), _>(io::ErrorKind::Interrupted.into());
    let error = uninterrupted(Some(timeout), interrupted).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(start.elapsed() >= timeout);
}
