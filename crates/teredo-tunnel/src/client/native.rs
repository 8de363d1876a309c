//! Sunset (R4380-5.5-01): while the host has IPv6 by other means the client is dormant.
//!
//! ```text
//!                native IPv6                          stop
//!  serving ──────────────────────> dormant ──────────────────────> stopped
//!     ^  <────────────────────────    ^  <────────────────────────    │
//!     │     no native IPv6 any more        start, with native IPv6    │
//!     └───────────────────────────────────────────────────────────────┘
//!                              start, without
//! ```
//!
//! A dormant client has no port, so that its end is announced and firewalls close it.

use std::net::Ipv6Addr;

use teredo::Instant;

use super::ChangeError;
use super::worker::Worker;
use crate::port::change::{Target, bind};

impl Worker {
    pub(super) fn native_changed(&mut self, now: Instant, native: Option<Ipv6Addr>) {
        self.native = native;
        match native {
            Some(address) if !self.stopped => {
                self.supersede();
                self.stopped = true;
                self.dormant = true;
                self.path.machine.sleep(now, address);
                self.forget_link(now);
                self.socket = None;
                self.change_to(Target::Keep, None, None);
            }
            Some(address) if self.dormant => self.path.machine.sleep(now, address),
            _ => self.wake_up(),
        }
    }

    /// Begins anew where nothing stands in the way any more. A port that cannot be had, because the network is just
    /// coming up, is tried again with its next change.
    pub(super) fn wake_up(&mut self) {
        if !self.dormant || self.native.is_some() {
            return;
        }
        match bind(self.bind, self.port, self.offload) {
            Ok((next, fell_back)) => {
                self.dormant = false;
                self.stopped = false;
                self.supersede();
                self.change_to(Target::Socket(next), fell_back, None);
            }
            Err(error) => tracing::warn!(%error, "the client stays dormant"),
        }
    }

    /// Starting a stopped client makes it dormant where there is native IPv6. Returns whether it is.
    pub(super) fn start_dormant(&mut self, now: Instant) -> Option<ChangeError> {
        let native = self.native.filter(|_| self.stopped)?;
        self.dormant = true;
        self.path.machine.sleep(now, native);
        Some(ChangeError::Dormant(native))
    }

    /// Stopping a dormant client keeps it from waking up.
    pub(super) fn stop_dormant(&mut self, now: Instant) {
        if std::mem::take(&mut self.dormant) {
            self.path.machine.stop(now);
        }
    }

    /// Why there is no port.
    pub(super) fn without_port(&self) -> ChangeError {
        match self.native.filter(|_| self.dormant) {
            Some(native) => ChangeError::Dormant(native),
            None => ChangeError::Stopped,
        }
    }
}
