//! Those who watch the invariants, each by its own eyes: the kernel's tables, real listeners, other clients of the service.

pub(crate) mod exceptions;
pub(crate) mod growth;
pub(crate) mod inside;
pub(crate) mod subscribers;

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use teredo_notify::call::Caller;

use crate::traffic::spawn;

/// How often an address is asked for.
const PERIOD: Duration = Duration::from_millis(100);

/// The last address of a client, by its status: the place to send to, and nothing that is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Address(Arc<Mutex<Option<Ipv6Addr>>>);

impl Address {
    /// Follows the client with this socket, until the process ends.
    pub(crate) fn follow(socket: PathBuf) -> Result<Self> {
        let address = Self::default();
        let own = address.clone();
        spawn(move || {
            loop {
                let asked = Caller::open_within(&socket, Duration::from_millis(500));
                let status = asked.and_then(|mut caller| caller.get_status());
                if let Ok(Some(new)) = status.map(|status| status.address) {
                    *own.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
                }
                thread::sleep(PERIOD);
            }
        })?;
        Ok(address)
    }

    pub(crate) fn get(&self) -> Option<Ipv6Addr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
