//! Ten megabytes over TCP, from one host to another.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream};
use std::time::Duration;

use teredo_lab::Host;

pub(crate) const LENGTH: usize = 10_000_000;

/// Without a word from the other side in this time, a transfer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `data` from `from` to `to`, which has this address, and fails unless the same arrives; `midway` is called
/// when half of it is there.
pub(crate) fn transfer(
    from: &Host,
    to: &Host,
    address: Ipv6Addr,
    data: &[u8],
    midway: impl FnOnce(),
) {
    let context = format!("TCP from {} to {}", from.name(), to.name());
    let listen = SocketAddrV6::new(address, 0, 0, 0);
    let listener = to.namespace().run(|| TcpListener::bind(listen)).unwrap();
    let listener = listener.unwrap_or_else(|error| panic!("{context}: listen: {error}"));
    let target = listener.local_addr().unwrap();
    let received = std::thread::scope(|scope| {
        let sender = scope.spawn(|| -> std::io::Result<()> {
            let connect = || TcpStream::connect_timeout(&target, PATIENCE);
            let mut stream = from.namespace().run(connect)??;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(data)
        });
        let receive = || -> std::io::Result<Vec<u8>> {
            let mut stream = accept(&listener)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut received = vec![0; data.len() / 2];
            stream.read_exact(&mut received)?;
            midway();
            stream.read_to_end(&mut received)?;
            Ok(received)
        };
        let received = receive();
        let sent = sender.join().unwrap();
        if let Err(error) = sent {
            panic!(
                "{context}: the sender: {error}; the receiver: {:?}",
                received.err()
            );
        }
        received.unwrap_or_else(|error| panic!("{context}: the receiver: {error}"))
    });
    let first_difference = received.iter().zip(data).position(|(one, two)| one != two);
    assert_eq!(
        (received.len(), first_difference),
        (data.len(), None),
        "{context}: length, and where the first difference is"
    );
}

/// Waits for a connection; a listener has no timeout of its own.
fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let accepted = teredo_lab::until(PATIENCE, "a connection", || listener.accept().ok());
    let (stream, _) = accepted.map_err(std::io::Error::other)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Bytes without a pattern that a shifted or repeated piece would fit into.
pub(crate) fn data(seed: u64) -> Vec<u8> {
    // Numerical Recipes' linear congruential generator; its upper bits are good.
    let mut state = seed;
    let mut data = Vec::with_capacity(LENGTH + 8);
    while data.len() < LENGTH {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&(state >> 32).to_le_bytes()[..4]);
    }
    data.truncate(LENGTH);
    data
}
