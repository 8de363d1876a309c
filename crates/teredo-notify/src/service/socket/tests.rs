use std::os::fd::AsRawFd as _;
use std::os::unix::net;

use super::*;

/// The kernel closes it before the hooks of programs, which have the lowest numbers that are free.
#[tokio::test]
async fn a_connection_is_closed_first_when_the_process_dies() {
    let (near, mut far) = net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let socket = Socket::new(UnixStream::from_std(near).unwrap()).unwrap();
    assert!(socket.0.as_fd().as_raw_fd() >= FIRST);
    let later = std::fs::File::open("/dev/null").unwrap();
    assert!(later.as_raw_fd() < socket.0.as_fd().as_raw_fd());
    // There is no second descriptor that would keep the connection open.
    drop(socket);
    assert_eq!(io::Read::read(&mut far, &mut [0]).unwrap(), 0);
}
