//! A set that holds exactly the current port.

use std::time::Duration;

use rustix::io::Errno;
use teredo_nft::{Batch, Element, ElementInfo, KeyType, Netlink, NftError, SetInfo};

use crate::config::SetPath;

/// A set whose elements are the agent's.
///
/// Every change is the same transaction, "empty the set, add the port". It swaps one port for
/// another, renews a lease and removes foreign elements, and the set holds the port throughout.
/// (Before Linux 6.12, adding an element again does not renew it.)
#[derive(Debug)]
pub(crate) struct LeasedSet {
    path: SetPath,
    lease: Option<Duration>,
}

/// Why a set does not hold the port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error("the set {0} does not exist")]
    Missing(SetPath),
    #[error("the set {path} does not hold port {port} although the kernel said so")]
    NotHeld { path: SetPath, port: u16 },
    #[error(transparent)]
    Netlink(#[from] NftError),
}

/// How a set fits its purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    Fit,
    /// The set does its work, but its elements cannot have a timeout.
    WithoutLease,
    /// The set cannot hold a port; why, in words that continue "the set …".
    Unfit(&'static str),
    Missing,
}

impl LeasedSet {
    /// `lease` is the timeout of the element; without one the element stays until it is removed.
    pub(crate) fn new(path: SetPath, lease: Option<Duration>) -> Self {
        Self { path, lease }
    }

    pub(crate) fn path(&self) -> &SetPath {
        &self.path
    }

    pub(crate) fn lease(&self) -> Option<Duration> {
        self.lease
    }

    pub(crate) fn set_lease(&mut self, lease: Option<Duration>) {
        self.lease = lease;
    }

    pub(crate) fn fitness(&self, netlink: &mut Netlink) -> Result<Fitness, NftError> {
        let info = netlink.set(&self.path.table, &self.path.set)?;
        Ok(info.as_ref().map_or(Fitness::Missing, fitness))
    }

    /// The element that the set holds for a port; none for port 0.
    pub(crate) fn element(&self, port: u16) -> Option<Element> {
        let element = (port != 0).then(|| Element::port(port))?;
        Some(match self.lease {
            Some(lease) => element.with_timeout(lease),
            None => element,
        })
    }

    /// Makes the set hold `port` and nothing else, nothing at all for port 0, and reads it back (F-2).
    pub(crate) fn hold(&self, netlink: &mut Netlink, port: u16) -> Result<(), SetError> {
        let mut batch = Batch::new();
        batch.flush_set(&self.path.table, &self.path.set);
        if let Some(element) = self.element(port) {
            batch.add_elements(&self.path.table, &self.path.set, [element]);
        }
        match netlink.execute(&batch) {
            Err(error) if error.refusal() == Some(Errno::NOENT) => {
                return Err(SetError::Missing(self.path.clone()));
            }
            result => result?,
        }
        if self.holds(netlink, port)? {
            Ok(())
        } else {
            Err(SetError::NotHeld {
                path: self.path.clone(),
                port,
            })
        }
    }

    /// Whether the set holds `port` and nothing else, nothing at all for port 0.
    pub(crate) fn holds(&self, netlink: &mut Netlink, port: u16) -> Result<bool, SetError> {
        let elements = netlink
            .elements(&self.path.table, &self.path.set)?
            .ok_or_else(|| SetError::Missing(self.path.clone()))?;
        let expected = (port != 0).then_some(port);
        // The kernel may list an element twice.
        Ok(elements.is_empty() == expected.is_none()
            && elements
                .iter()
                .all(|element| element.port() == expected && self.is_own(element)))
    }

    /// Whether the element has the agent's lease. The same port from another program may have
    /// another lease, or none.
    fn is_own(&self, element: &ElementInfo) -> bool {
        match (self.lease, element.timeout) {
            (Some(lease), Some(timeout)) => lease.abs_diff(timeout) <= TICK,
            // Before Linux 6.12 the kernel does not report a timeout that is the set's default.
            (Some(_), None) => element.expires.is_some(),
            (None, timeout) => timeout.is_none(),
        }
    }
}

/// The kernel rounds timeouts to its clock ticks, which are 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

fn fitness(info: &SetInfo) -> Fitness {
    if info.map {
        Fitness::Unfit("is a map")
    } else if info.key != KeyType::INET_SERVICE {
        Fitness::Unfit("is not of type inet_service")
    } else if info.intervals {
        Fitness::Unfit("has the flag interval")
    } else if info.constant {
        Fitness::Unfit("has the flag constant")
    } else if !info.timeouts {
        Fitness::WithoutLease
    } else {
        Fitness::Fit
    }
}

#[cfg(test)]
mod tests;
