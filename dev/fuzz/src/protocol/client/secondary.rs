//! The search for a longer refresh interval (RFC 4380 §5.2.7), as an observer sees it.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::Instant;

const PROBE_SPACING: Duration = Duration::from_secs(2);
/// The number of bubbles for a candidate.
const PROBES: usize = 4;
/// The most solicitations that the fuzzer can still answer.
const OUTSTANDING: usize = 4;

/// A solicitation that awaits its answer.
pub struct Solicitation {
    pub to: SocketAddrV4,
    pub source: Ipv6Addr,
    pub nonce: [u8; 8],
}

/// The secondary port.
#[derive(Default)]
pub struct SecondaryPort {
    wanted: bool,
    open: bool,
    /// The newest first.
    pub solicitations: VecDeque<Solicitation>,
    /// The mappings that servers have reported.
    reported: VecDeque<SocketAddrV4>,
    /// The destination of the last bubble to the secondary port, outer and inner.
    pub probe: Option<(SocketAddrV4, Ipv6Addr)>,
    /// When bubbles were sent since the last solicitation.
    probes: Vec<Instant>,
}

impl SecondaryPort {
    /// The client asks for the port, or gives it up.
    pub fn wanted(&mut self, wanted: bool) {
        assert_ne!(self.wanted, wanted, "no change");
        *self = Self {
            wanted,
            ..Self::default()
        };
    }

    /// The port was opened, or could not be.
    pub fn answered(&mut self, open: bool) {
        self.open = self.wanted && (open || self.open);
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn tells(&mut self, mapped: SocketAddrV4) {
        self.reported.push_front(mapped);
    }

    pub fn asks(&mut self, asked: Solicitation) {
        self.probes.clear();
        self.solicitations.push_front(asked);
        self.solicitations.truncate(OUTSTANDING);
    }

    pub fn probed(&mut self, now: Instant, to: SocketAddrV4, address: Ipv6Addr) {
        assert!(self.open, "R4380-5.2.7-08");
        assert!(self.reported.contains(&to), "nobody reported of {to}");
        let last = self.probes.last();
        assert!(
            last.is_none_or(|last| now - *last >= PROBE_SPACING),
            "R4380-5.2.7-04"
        );
        assert!(self.probes.len() < PROBES, "R4380-5.2.7-04");
        self.probes.push(now);
        self.probe = Some((to, address));
    }
}
