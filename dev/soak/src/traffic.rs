//! Traffic from Alice: datagrams that a peer and a native host send back. It is the measure of the service.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use teredo_lab::{Host, Receive as _};

use crate::journal::Journal;

/// The port of the echo services.
const ECHO: u16 = 7007;
/// The pause between two datagrams.
const PACE: Duration = Duration::from_millis(20);
/// The sizes of the payloads, by turns: small ones, and what fills the tunnel's MTU.
const SIZES: [usize; 5] = [64, 1200, 200, 600, 64];

/// Sends whatever comes to the port back to its sender, until the process ends.
pub(crate) fn echo(host: &Host) -> Result<()> {
    let socket = host
        .udp_socket((Ipv6Addr::UNSPECIFIED, ECHO))
        .context("cannot open the echo service")?;
    let serve = move || {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.receive_from(&mut datagram) {
            // There may be no route to the sender now.
            let _ = socket.send_to(&datagram[..length], from);
        }
    };
    thread::Builder::new()
        .name("soak-echo".into())
        .spawn(serve)
        .context("cannot start a thread")?;
    Ok(())
}

/// A flow of datagrams to one destination, and the answers.
#[derive(Default)]
pub(crate) struct Flow {
    sent: AtomicU64,
    answered: AtomicU64,
    /// When the youngest datagram that was answered was sent, in microseconds since the start.
    youngest: AtomicU64,
    over: AtomicBool,
}

impl Flow {
    /// Starts a flow from `host` to where `destination` says.
    pub(crate) fn start(
        host: &Host,
        journal: &Arc<Journal>,
        destination: impl Fn() -> Option<Ipv6Addr> + Send + 'static,
    ) -> Result<Arc<Self>> {
        let flow = Arc::new(Self::default());
        let socket = host
            .udp_socket((Ipv6Addr::UNSPECIFIED, 0))
            .context("cannot open a socket")?;
        let receiver = socket.try_clone().context("cannot open a socket")?;
        receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (own, clock) = (Arc::clone(&flow), Arc::clone(journal));
        spawn(move || own.send(&socket, &clock, destination))?;
        let own = Arc::clone(&flow);
        spawn(move || own.receive(&receiver))?;
        Ok(flow)
    }

    /// Whether a datagram that was sent at or after this time, since the start, has been answered.
    pub(crate) fn is_answered_since(&self, time: Duration) -> bool {
        u128::from(self.youngest.load(Ordering::Acquire)) > time.as_micros()
    }

    /// Datagrams sent and answered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.answered.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn send(
        &self,
        socket: &UdpSocket,
        clock: &Journal,
        destination: impl Fn() -> Option<Ipv6Addr>,
    ) {
        let mut payload = [0; 2048];
        for size in SIZES.into_iter().cycle() {
            if self.is_over() {
                return;
            }
            if let Some(to) = destination() {
                let now = clock.now().as_micros() as u64;
                payload[..8].copy_from_slice(&now.to_be_bytes());
                let to = SocketAddr::from((to, ECHO));
                // Without a route nothing is sent; that is what is measured.
                if socket.send_to(&payload[..size], to).is_ok() {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            thread::sleep(PACE);
        }
    }

    fn receive(&self, socket: &UdpSocket) {
        let mut payload = [0; 2048];
        while !self.is_over() {
            let Ok((length, _)) = socket.receive_from(&mut payload) else {
                continue;
            };
            if let Some(stamp) = payload[..length].first_chunk() {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let stamp = u64::from_be_bytes(*stamp);
                self.youngest.fetch_max(stamp, Ordering::AcqRel);
            }
        }
    }
}

pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name("soak".into())
        .spawn(work)
        .context("cannot start a thread")?;
    Ok(())
}
