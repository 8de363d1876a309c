//! The agent's part of the ruleset: its own table, and the set that holds the port.

use std::time::Duration;

use teredo_nft::{Netlink, NftError};
use tracing::warn;

use super::AgentError;
use crate::{
    config::{AgentConfig, Target},
    leased_set::{Fitness, LeasedSet, SetError},
    table::{InstallError, OwnTable},
};

#[derive(Debug)]
pub(super) struct Firewall {
    netlink: Netlink,
    table: OwnTable,
    set: LeasedSet,
    own_set: bool,
    lease: Duration,
    released: bool,
}

/// Why the kernel is not in the wanted state.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("the set '{path}' does not exist; it is created by: {}", path.create_command())]
    Missing { path: crate::SetPath },
    #[error("the set '{path}' {reason}")]
    Unfit {
        path: crate::SetPath,
        reason: &'static str,
    },
    #[error(transparent)]
    Set(SetError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

impl From<SetError> for ApplyError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Missing(path) => Self::Missing { path },
            error => Self::Set(error),
        }
    }
}

impl From<NftError> for ApplyError {
    fn from(error: NftError) -> Self {
        Self::Set(error.into())
    }
}

impl Firewall {
    pub(super) fn open(config: AgentConfig) -> Result<Self, AgentError> {
        let with_port = config.target == Target::OwnTable;
        let table = OwnTable::new(&config.interface, &config.allow_inbound, with_port);
        Self::with_table(config, table)
    }

    /// As on an old kernel, whose tables have no owner.
    #[cfg(test)]
    pub(super) fn without_owner(config: AgentConfig) -> Self {
        let table = OwnTable::new(&config.interface, &config.allow_inbound, true).without_owner();
        Self::with_table(config, table).expect("the table can be installed")
    }

    fn with_table(config: AgentConfig, mut table: OwnTable) -> Result<Self, AgentError> {
        let mut netlink = Netlink::open()?;
        let (path, own_set) = match config.target {
            Target::OwnTable => (OwnTable::port_set(), true),
            Target::AdministratorSet(path) => (path, false),
        };
        match table.install(&mut netlink, None) {
            Ok(()) => {}
            Err(InstallError::Owned { owner }) => return Err(AgentError::AlreadyRunning { owner }),
            Err(InstallError::Netlink(error)) => return Err(error.into()),
        }
        // The kernel binds an owned table to the agent's life. Everything else needs a lease.
        let lease = (!(own_set && table.owned())).then_some(config.lease);
        let set = LeasedSet::new(path, lease);
        Ok(Self {
            netlink,
            table,
            set,
            own_set,
            lease: config.lease,
            released: false,
        })
    }

    pub(super) fn netlink_port(&self) -> u32 {
        self.netlink.port()
    }

    /// Checks the administrator's set, so that a mistake is reported at the start.
    pub(super) fn check_set(&mut self) -> Result<(), AgentError> {
        match self.adapt() {
            Ok(()) | Err(ApplyError::Missing { .. }) => Ok(()),
            Err(ApplyError::Unfit { path, reason }) => {
                Err(AgentError::UnsuitableSet { path, reason })
            }
            Err(
                ApplyError::Set(SetError::Netlink(error))
                | ApplyError::Install(InstallError::Netlink(error)),
            ) => Err(error.into()),
            Err(ApplyError::Set(_) | ApplyError::Install(_)) => Ok(()),
        }
    }

    /// Makes the kernel let `port` through and no other, none for port 0.
    pub(super) fn apply(&mut self, port: u16) -> Result<(), ApplyError> {
        if self.own_set {
            return self.apply_in_own_table(port);
        }
        if !self.table.installed(&mut self.netlink)? {
            self.table.install(&mut self.netlink, None)?;
        }
        // The administrator may have declared the set anew and otherwise.
        match self
            .adapt()
            .and_then(|()| Ok(self.set.hold(&mut self.netlink, port)?))
        {
            // Without a set there is no exception, so no port is open.
            Err(ApplyError::Missing { .. }) if port == 0 => Ok(()),
            result => result,
        }
    }

    fn apply_in_own_table(&mut self, port: u16) -> Result<(), ApplyError> {
        match self.set.hold(&mut self.netlink, port) {
            Err(SetError::Missing(_)) => {
                self.table
                    .install(&mut self.netlink, self.set.element(port))?;
                Ok(self.set.hold(&mut self.netlink, port)?)
            }
            result => Ok(result?),
        }
    }

    /// Adapts to the administrator's set as it is declared.
    fn adapt(&mut self) -> Result<(), ApplyError> {
        if self.own_set {
            return Ok(());
        }
        let path = self.set.path().clone();
        match self.set.fitness(&mut self.netlink)? {
            Fitness::Fit => self.set.set_lease(Some(self.lease)),
            Fitness::WithoutLease => {
                if self.set.lease().is_some() {
                    warn!(
                        set = %path,
                        "the set has no 'flags timeout': if the agent is killed, the port stays \
                         open; the set should be declared as \
                         '{{ type inet_service; flags timeout; }}'",
                    );
                }
                self.set.set_lease(None);
            }
            Fitness::Unfit(reason) => return Err(ApplyError::Unfit { path, reason }),
            Fitness::Missing => return Err(ApplyError::Missing { path }),
        }
        Ok(())
    }

    /// Whether the kernel still has what [`apply`](Self::apply) put there.
    pub(super) fn intact(&mut self, port: u16) -> Result<bool, ApplyError> {
        if !self.table.installed(&mut self.netlink)? {
            return Ok(false);
        }
        match self.set.holds(&mut self.netlink, port) {
            Err(SetError::Missing(_)) => Ok(port == 0 && !self.own_set),
            result => Ok(result?),
        }
    }

    /// Whether the effect of [`apply`](Self::apply) lapses unless it is renewed.
    pub(super) fn lapses(&self, port: u16) -> bool {
        port != 0 && self.set.lease().is_some()
    }

    /// Removes the agent's part.
    pub(super) fn release(&mut self) -> Result<(), NftError> {
        self.released = true;
        let emptied = self.empty();
        self.table.remove(&mut self.netlink)?;
        emptied
    }

    /// Empties the administrator's set, unless the agent cannot have filled it: a wrong name must not
    /// cost them the elements of another set. The agent's own set ends with the table.
    fn empty(&mut self) -> Result<(), NftError> {
        if self.own_set {
            return Ok(());
        }
        match self.set.fitness(&mut self.netlink)? {
            Fitness::Fit | Fitness::WithoutLease => {}
            Fitness::Unfit(_) | Fitness::Missing => return Ok(()),
        }
        match self.set.hold(&mut self.netlink, 0) {
            Err(SetError::Netlink(error)) => Err(error),
            // Gone meanwhile, or already filled by another program.
            Ok(()) | Err(SetError::Missing(_) | SetError::NotHeld { .. }) => Ok(()),
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = self.release()
        {
            warn!(%error, "the firewall agent cannot take its rules back");
        }
    }
}
