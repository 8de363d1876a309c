//! The block of the tunnel's inside, as a client or relay uses it.

use std::error::Error;
use std::sync::Arc;

use teredo_firewall::{Block, BlockError, ForeignTable};
use teredo_node::Protection;
use teredo_notify::types::Role;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure};

/// Whether a node closes the inside of its tunnel itself, or only looks whether another program has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    pub(crate) role: Role,
    pub(crate) protect: bool,
}

impl Protection for Inside {
    fn close(&self, interface: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.protect {
            Block::install(interface, self.forward())?;
        }
        Ok(())
    }

    fn is_closed(&self, interface: &str) -> Option<bool> {
        Block::protects(interface, self.role.interface_group()).ok()
    }
}

impl Inside {
    pub(crate) fn protection(self) -> Arc<dyn Protection> {
        Arc::new(self)
    }

    /// Whether what comes out of the tunnel to other hosts is closed, too. A relay forwards for others, who have firewalls
    /// of their own.
    fn forward(self) -> bool {
        self.role == Role::Client
    }

    /// Closes the inside again whenever another program opens it, until the task is aborted.
    pub(crate) fn keep(self, interface: &str) -> Option<JoinHandle<()>> {
        let interface = interface.to_owned();
        self.protect.then(|| {
            tokio::spawn(async move {
                let Err(error) = Block::new(&interface, self.forward()).keep().await;
                tracing::error!(interface, %error, "the inside of the tunnel is no longer watched");
            })
        })
    }
}

/// A node that does not start because its inside stays open.
pub(crate) fn failure(error: Box<dyn Error + Send + Sync>) -> Failure {
    let (exit, hint) = match error.downcast_ref::<BlockError>() {
        Some(BlockError::Foreign(_)) => (Exit::Failed, ForeignTable::MEND),
        Some(BlockError::Netlink(teredo_nft::NftError::NotPermitted)) => (
            Exit::NotPermitted,
            "run it as root, or give it CAP_NET_ADMIN",
        ),
        _ => (
            Exit::Failed,
            "the kernel may lack nftables: try 'modprobe nf_tables'",
        ),
    };
    Failure::new(
        exit,
        "the tunnel stays down, because its inside cannot be closed",
    )
    .because(error)
    .hint(hint)
}
