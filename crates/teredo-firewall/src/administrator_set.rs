//! The administrator's set: the agent adds its ports, and touches no other element.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::io::Errno;
use teredo_nft::{Batch, Element, ElementInfo, KeyType, Netlink, NftError, SetInfo};

use crate::block::program;
use crate::config::SetPath;

/// The comment of the agent's elements, which tells them from those of others. A restored ruleset still has it.
pub(crate) const MARK: &str = "teredo";

/// A set of the administrator's in which the agent holds ports.
///
/// A change removes the agent's elements and adds the ports in one transaction, so a port that stays is in the set
/// throughout. (Before Linux 6.12, adding an element again does not renew its lease.)
#[derive(Debug)]
pub(crate) struct AdministratorSet {
    path: SetPath,
    lease: Duration,
    /// Whether its elements can have a timeout.
    leased: bool,
}

/// Why a set does not hold the port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error("the set '{0}' does not exist; if the name is right, it is created by: {command}", command = .0.create_command())]
    Missing(SetPath),
    #[error("the set '{path}' {reason}")]
    Unfit { path: SetPath, reason: &'static str },
    #[error(
        "the table of the set '{path}' belongs to {owner}, and the kernel lets no other program fill the set"
    )]
    Owned { path: SetPath, owner: String },
    #[error("the set '{path}' does not hold port {port} although the kernel said so")]
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

impl AdministratorSet {
    /// `lease` is the timeout of the elements, if the set allows one.
    pub(crate) fn new(path: SetPath, lease: Duration) -> Self {
        Self {
            path,
            lease,
            leased: true,
        }
    }

    pub(crate) fn path(&self) -> &SetPath {
        &self.path
    }

    pub(crate) fn fitness(&self, netlink: &mut Netlink) -> Result<Fitness, NftError> {
        let info = netlink.set(&self.path.table, &self.path.set)?;
        let judge = |info| judge(info, KeyType::INET_SERVICE, "is not of type inet_service");
        Ok(info.as_ref().map_or(Fitness::Missing, judge))
    }

    /// Adapts to the set as it is declared now.
    pub(crate) fn adapt(&mut self, netlink: &mut Netlink) -> Result<(), SetError> {
        let path = || self.path.clone();
        let leased = match self.fitness(netlink)? {
            Fitness::Fit => true,
            Fitness::WithoutLease => false,
            Fitness::Unfit(reason) => {
                return Err(SetError::Unfit {
                    path: path(),
                    reason,
                });
            }
            Fitness::Missing => return Err(SetError::Missing(path())),
        };
        let owner = netlink.table(&self.path.table)?.and_then(|info| info.owner);
        if let Some(owner) = owner.filter(|owner| *owner != netlink.port()) {
            return Err(SetError::Owned {
                path: path(),
                owner: program(owner),
            });
        }
        if self.leased && !leased {
            tracing::warn!(
                set = %self.path,
                "the set has no 'flags timeout': if the agent is killed, the port stays open; the set should be \
                 declared as '{{ type inet_service; flags timeout; }}'",
            );
        }
        self.leased = leased;
        Ok(())
    }

    /// The elements that the agent, or one before it, added.
    pub(crate) fn own(&self, netlink: &mut Netlink) -> Result<BTreeSet<u16>, SetError> {
        let elements = self.elements(netlink)?;
        Ok(elements
            .iter()
            .filter(|element| is_own(element))
            .filter_map(ElementInfo::port)
            .collect())
    }

    /// Adds the requests that make the set hold exactly `ports` of the agent's (F-2). A port that another program put
    /// there is open already, and stays theirs.
    pub(crate) fn hold(
        &self,
        netlink: &mut Netlink,
        batch: &mut Batch,
        ports: &BTreeSet<u16>,
    ) -> Result<(), SetError> {
        let mut foreign = BTreeSet::new();
        let mut own = BTreeSet::new();
        for element in self.elements(netlink)? {
            if let Some(port) = element.port() {
                if is_own(&element) {
                    &mut own
                } else {
                    &mut foreign
                }
                .insert(port);
            }
        }
        let (table, set) = (&self.path.table, &self.path.set);
        if !own.is_empty() {
            batch.delete_elements(table, set, own.into_iter().map(Element::port));
        }
        let missing: Vec<_> = ports
            .difference(&foreign)
            .map(|port| self.element(*port))
            .collect();
        if !missing.is_empty() {
            batch.add_elements(table, set, missing);
        }
        Ok(())
    }

    /// Whether the set holds exactly `ports` of the agent's, with its lease.
    pub(crate) fn holds(
        &self,
        netlink: &mut Netlink,
        ports: &BTreeSet<u16>,
    ) -> Result<bool, SetError> {
        let elements = self.elements(netlink)?;
        let open = |port: &u16| {
            elements.iter().any(|element| {
                element.port() == Some(*port) && (!is_own(element) || self.has_lease(element))
            })
        };
        let stale = elements.iter().any(|element| {
            is_own(element) && element.port().is_some_and(|port| !ports.contains(&port))
        });
        Ok(!stale && ports.iter().all(open))
    }

    fn elements(&self, netlink: &mut Netlink) -> Result<Vec<ElementInfo>, SetError> {
        netlink
            .elements(&self.path.table, &self.path.set)?
            .ok_or_else(|| SetError::Missing(self.path.clone()))
    }

    fn element(&self, port: u16) -> Element {
        let element = Element::port(port).with_comment(MARK);
        if self.leased {
            element.with_timeout(self.lease)
        } else {
            element
        }
    }

    fn has_lease(&self, element: &ElementInfo) -> bool {
        match (self.leased, element.timeout) {
            (true, Some(timeout)) => self.lease.abs_diff(timeout) <= TICK,
            // Before Linux 6.12 the kernel does not report a timeout that is the set's default.
            (true, None) => element.expires.is_some(),
            (false, timeout) => timeout.is_none(),
        }
    }
}

/// Whether the error means that the ruleset changed after it was read, so that another try helps.
pub(crate) fn is_stale(error: &NftError) -> bool {
    matches!(error.refusal(), Some(Errno::NOENT | Errno::EXIST))
}

fn is_own(element: &ElementInfo) -> bool {
    element.comment.as_deref() == Some(MARK)
}

/// The kernel rounds timeouts to its clock ticks, which are 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

/// How a set fits if its keys are of this type. `other_type` says, in words that continue "the set …", that they are not.
pub(crate) fn judge(info: &SetInfo, key: KeyType, other_type: &'static str) -> Fitness {
    if info.map {
        Fitness::Unfit("is a map")
    } else if info.key != key {
        Fitness::Unfit(other_type)
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
