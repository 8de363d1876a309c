//! The block of the tunnel's inside, for a client that installs it before its interface is up.

use teredo_nft::{Batch, Change, Element, Monitor, Netlink, NftError};
use tokio::time::{Duration, sleep, timeout};

use crate::table::{self, CLOSED_FORWARD, Found, TUNNELS};

/// The target of lines about a new state of this node. The program's limit of repetitions knows it.
const STATE: &str = "teredo::state";

/// The least time between two repairs. Two programs that each take the table for theirs must not keep a processor busy.
pub(crate) const REPAIR_INTERVAL: Duration = Duration::from_millis(10);

/// How soon a change that the kernel refused is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// Drops unsolicited traffic that comes in by one interface, except ICMPv6 and the ports that an agent opened.
///
/// The table `inet teredo` holds it in the kernel. It survives this program, a crash included, and a restored ruleset
/// contains it. Only [`Block::remove`] takes it away.
#[derive(Debug)]
pub struct Block {
    interface: String,
    /// Whether nothing unsolicited is forwarded from the interface either.
    forward: bool,
}

/// Why the block is not in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// There is a table of that name without the program's mark. It is left as it is.
    #[error(transparent)]
    Foreign(#[from] ForeignTable),
    /// An agent runs, and would install the block again.
    #[error("{program} is the firewall agent of this host and would install the table again")]
    AgentRuns {
        /// The agent's program and process.
        program: String,
    },
    /// The kernel refuses.
    #[error(transparent)]
    Netlink(#[from] NftError),
}

/// A table `inet teredo` that this program did not make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the table 'inet teredo' exists and does not carry this program's mark{}: it is left as it is", owned(.owner.as_deref())
)]
pub struct ForeignTable {
    /// The program that owns it, if one does.
    pub owner: Option<String>,
}

fn owned(owner: Option<&str>) -> String {
    owner.map_or_else(String::new, |owner| format!(" (its owner is {owner})"))
}

impl ForeignTable {
    /// The next step for the administrator.
    pub const MEND: &str = "rename it or delete it with 'nft delete table inet teredo', also in the file that it is loaded from; \
                            its rules may live in any other table";

    pub(crate) fn new(owner: Option<u32>) -> Self {
        Self {
            owner: owner.map(program),
        }
    }
}

/// The program behind a netlink port, which is usually its process ID.
pub(crate) fn program(port: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{port}/comm")) {
        Ok(name) => format!("{} (pid {port})", name.trim_end()),
        Err(_) => format!("the program with netlink port {port}"),
    }
}

impl Block {
    /// The block of this interface, which [`keep`](Self::keep) puts in place.
    #[must_use]
    pub fn new(interface: impl Into<String>, forward: bool) -> Self {
        Self {
            interface: interface.into(),
            forward,
        }
    }

    /// Closes the inside of this interface, which need not exist yet. On a relay, traffic to other hosts is none of the
    /// block's business: `forward` is false.
    ///
    /// # Errors
    ///
    /// [`BlockError`]
    pub fn install(interface: impl Into<String>, forward: bool) -> Result<Self, BlockError> {
        let block = Self::new(interface, forward);
        let mut netlink = Netlink::open()?;
        block.put(&mut netlink)?;
        Ok(block)
    }

    /// Whether the kernel drops unsolicited traffic to this host from this interface now, no matter which program
    /// installed that. The table knows an interface by its name, or by its group (0: none).
    ///
    /// # Errors
    ///
    /// [`NftError`]
    pub fn protects(interface: &str, group: u32) -> Result<bool, NftError> {
        table::closes(&mut Netlink::open()?, interface, group, false)
    }

    /// Removes the table for all interfaces. False if there is none.
    ///
    /// # Errors
    ///
    /// [`BlockError`]; nothing is removed then.
    pub fn remove() -> Result<bool, BlockError> {
        let mut netlink = Netlink::open()?;
        match table::find(&mut netlink)? {
            Found::Nothing => return Ok(false),
            Found::Foreign(owner) => return Err(ForeignTable::new(owner).into()),
            Found::Ours => {}
        }
        if let Some(agent) = crate::claim::holder(&mut netlink)? {
            let program = program(agent);
            return Err(BlockError::AgentRuns { program });
        }
        let mut batch = Batch::new();
        batch.delete_table(&table::name());
        netlink.execute(&batch)?;
        Ok(true)
    }

    /// Puts the block in place, and back whenever another program removes it. Tries again what the kernel refuses. Ends
    /// only with an error.
    ///
    /// # Errors
    ///
    /// [`NftError`] if the kernel cannot be monitored.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn keep(&self) -> Result<std::convert::Infallible, NftError> {
        let mut netlink = Netlink::open()?;
        let mut monitor = Monitor::open(netlink.port())?;
        let mut failure = None;
        loop {
            // The first look comes after the monitor, so that no change is missed. A ruleset that changes faster than it
            // can be read is put right without a look.
            if !table::closes(&mut netlink, &self.interface, 0, self.forward).unwrap_or(false) {
                let text = self.put(&mut netlink).err().map(|error| error.to_string());
                match &text {
                    None => tracing::info!(
                        target: STATE,
                        interface = self.interface,
                        "another program opened the inside of the tunnel; it is closed again"
                    ),
                    Some(reason) if failure != text => tracing::error!(
                        target: STATE,
                        interface = self.interface,
                        reason,
                        "the inside of the tunnel is open, and cannot be closed"
                    ),
                    Some(_) => {}
                }
                failure = text;
                sleep(REPAIR_INTERVAL).await;
            } else {
                failure = None;
            }
            if failure.is_some() {
                // The kernel may take it without a change of the ruleset.
                let changed = timeout(RETRY, monitor.changed()).await;
                changed.unwrap_or(Ok(Change::Lost))?;
            } else {
                monitor.changed().await?;
            }
        }
    }

    fn put(&self, netlink: &mut Netlink) -> Result<(), BlockError> {
        if let Found::Foreign(owner) = table::find(netlink)? {
            return Err(ForeignTable::new(owner).into());
        }
        let mut batch = Batch::new();
        table::declare(&mut batch);
        let element = || [Element::interface(&self.interface)];
        batch.add_elements(&table::name(), TUNNELS, element());
        if self.forward {
            batch.add_elements(&table::name(), CLOSED_FORWARD, element());
        }
        Ok(netlink.execute(&batch)?)
    }
}

#[cfg(test)]
mod tests;
