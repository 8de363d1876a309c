//! One TCP flow, and a check that all data arrives unchanged.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use crc32fast::Hasher;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use teredo_lab::Host;

use super::cpu::Place;

const PORT: u16 = 4000;
const BLOCK: usize = 64 * 1024;
/// The kernel's own choice. Others, such as BBR, limit the rate by a model of the path, and the figure would be one of the model.
const CONGESTION: &str = "cubic";
const RECEIVE: usize = 256 * 1024;
/// How long either end waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a flow, and the time from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

/// Sends from one host to an address of another for so long, and checks that the same arrives.
pub(crate) fn transfer(
    [from, to]: [&Host; 2],
    address: std::net::IpAddr,
    segment: Option<u32>,
    duration: Duration,
) -> Result<Transfer> {
    let address = SocketAddr::new(address, PORT);
    let listener = to.namespace().run(|| listen(address))??;
    let (sent, received) = thread::scope(|scope| -> Result<_> {
        let receiver = scope.spawn(|| receive(&listener));
        let sender = scope.spawn(|| -> Result<_> {
            from.namespace().enter()?;
            send(address, segment, duration)
        });
        let panicked = |_| anyhow!("an end of the flow panicked");
        let sent = sender.join().map_err(panicked);
        let received = receiver.join().map_err(panicked);
        // The sender's error is the more precise one.
        let sent = sent??;
        Ok((sent, received??))
    })?;
    let (start, blocks) = sent;
    let (end, bytes, sum) = received;
    ensure!(
        bytes == blocks * BLOCK as u64 && sum == expected(blocks),
        "what arrived is not what was sent: {bytes} bytes of {}",
        blocks * BLOCK as u64
    );
    Ok(Transfer {
        bytes,
        seconds: end.duration_since(start).as_secs_f64(),
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // The flow before has just ended.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    // For `accept`.
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

fn send(address: SocketAddr, segment: Option<u32>, duration: Duration) -> Result<(Instant, u64)> {
    Place::Sender.take()?;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let Some(segment) = segment {
        socket.set_tcp_mss(segment)?;
    }
    setsockopt(&socket, sockopt::TcpCongestion, &OsString::from(CONGESTION))
        .with_context(|| format!("no congestion control {CONGESTION}"))?;
    socket
        .connect_timeout(&address.into(), PATIENCE)
        .context("no connection")?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut stream = TcpStream::from(socket);
    let mut block = noise();
    let mut blocks = 0;
    let start = Instant::now();
    while start.elapsed() < duration {
        stamp(&mut block, blocks);
        stream.write_all(&block).context("the flow has stopped")?;
        blocks += 1;
    }
    stream.shutdown(Shutdown::Write)?;
    // Until the other end has everything.
    stream.set_read_timeout(Some(PATIENCE))?;
    let _ = stream.read(&mut [0])?;
    Ok((start, blocks))
}

fn receive(listener: &TcpListener) -> Result<(Instant, u64, u32)> {
    Place::Receiver.take()?;
    let (mut stream, _) = listener.accept().context("nobody connected")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; RECEIVE];
    let (mut sum, mut bytes) = (Hasher::new(), 0);
    loop {
        let len = stream.read(&mut buffer).context("nothing arrives")?;
        if len == 0 {
            return Ok((Instant::now(), bytes, sum.finalize()));
        }
        sum.update(&buffer[..len]);
        bytes += len as u64;
    }
}

/// The same every time, but for the number in front of each block.
fn noise() -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    fastrand::Rng::with_seed(1).fill(&mut block);
    block
}

fn stamp(block: &mut [u8], number: u64) {
    block[..8].copy_from_slice(&number.to_le_bytes());
}

fn expected(blocks: u64) -> u32 {
    let mut block = noise();
    let mut sum = Hasher::new();
    for number in 0..blocks {
        stamp(&mut block, number);
        sum.update(&block);
    }
    sum.finalize()
}
