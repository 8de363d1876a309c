//! The inside of the tunnel: a stranger sends to it all the time, and nobody may hear him.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use teredo_lab::{Host, Receive as _};

use super::Address;
use crate::journal::{Invariant, Journal};
use crate::traffic::spawn;

/// The ports that the stranger probes. Programs listen on both.
const UDP: u16 = 5004;
const TCP: u16 = 22;
/// The pause between two datagrams, and how long a connection is tried.
const PACE: Duration = Duration::from_millis(20);
const KNOCK: Duration = Duration::from_millis(60);
const LISTEN: Duration = Duration::from_millis(20);
/// A datagram in flight when the block is back, and a listener that is not scheduled at once.
const IN_FLIGHT: Duration = Duration::from_millis(250);
/// For how long a foreign flush may open the inside. The guards need 20 ms; a busy machine needs longer.
pub(crate) const FLUSHED: Duration = Duration::from_millis(500);

/// The stranger, and the listeners.
pub(crate) struct Inside {
    journal: Arc<Journal>,
    /// When the inside may be open, since the start; the last one may have no end yet.
    open: Mutex<Vec<(Duration, Option<Duration>)>>,
    probes: AtomicU64,
    /// Who came in while the block was gone.
    excused: AtomicU64,
    visits: AtomicU64,
    over: AtomicBool,
}

impl Inside {
    pub(crate) fn start(
        alice: &Host,
        stranger: &Host,
        target: &Address,
        journal: &Arc<Journal>,
    ) -> Result<Arc<Self>> {
        let inside = Arc::new(Self {
            journal: Arc::clone(journal),
            open: Mutex::default(),
            probes: AtomicU64::new(0),
            excused: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let media = alice
            .udp_socket((Ipv6Addr::UNSPECIFIED, UDP))
            .context("cannot listen")?;
        media.set_read_timeout(Some(LISTEN))?;
        let ssh = alice
            .namespace()
            .run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, TCP)))?
            .context("cannot listen")?;
        ssh.set_nonblocking(true)?;
        let own = Arc::clone(&inside);
        spawn(move || own.listen(&media, &ssh))?;

        let prober = stranger.udp_socket((Ipv6Addr::UNSPECIFIED, 0))?;
        let (own, to) = (Arc::clone(&inside), target.clone());
        spawn(move || own.probe(&prober, &to))?;
        let (own, to) = (Arc::clone(&inside), target.clone());
        let namespace = stranger.namespace().clone();
        spawn(move || match namespace.enter() {
            Ok(()) => own.knock(&to),
            Err(error) => own
                .journal
                .broken(Invariant::Observers, &format!("no stranger: {error}")),
        })?;
        Ok(inside)
    }

    /// The block is gone from now on, by a foreign hand.
    pub(crate) fn opens(&self) {
        let now = self.journal.now();
        self.open().push((now, None));
    }

    /// The block is there again. Returns how long it was gone.
    pub(crate) fn closes(&self) -> Duration {
        let now = self.journal.now();
        let mut open = self.open();
        match open.last_mut() {
            Some((since, until @ None)) => {
                *until = Some(now);
                now.saturating_sub(*since)
            }
            _ => Duration::ZERO,
        }
    }

    /// Probes sent, visits while the block was promised, and visits while it was gone.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.probes, &self.visits, &self.excused].map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn open(&self) -> MutexGuard<'_, Vec<(Duration, Option<Duration>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn visited(&self, how: &str) {
        let now = self.journal.now();
        let may_be_open = self.open().iter().any(|&(since, until)| {
            now >= since && until.is_none_or(|until| now <= until + IN_FLIGHT)
        });
        if may_be_open {
            self.excused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.visits.fetch_add(1, Ordering::Relaxed);
            let text = format!("the stranger came in by {how} while the block was promised");
            self.journal.broken(Invariant::Inside, &text);
        }
    }

    fn listen(&self, media: &UdpSocket, ssh: &TcpListener) {
        let mut datagram = [0; 64];
        while !self.is_over() {
            if media.receive(&mut datagram).is_ok() {
                self.visited("UDP");
            }
            while ssh.accept().is_ok() {
                self.visited("TCP");
            }
        }
    }

    fn probe(&self, prober: &UdpSocket, target: &Address) {
        while !self.is_over() {
            // Without an address of his own he cannot send.
            if let Some(target) = target.get()
                && prober.send_to(b"open?", (target, UDP)).is_ok()
            {
                self.probes.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(PACE);
        }
    }

    fn knock(&self, target: &Address) {
        while !self.is_over() {
            if let Some(target) = target.get() {
                let to = SocketAddr::from((target, TCP));
                // A visit is counted where it arrives.
                let _ = TcpStream::connect_timeout(&to, KNOCK);
            }
            thread::sleep(KNOCK);
        }
    }
}
