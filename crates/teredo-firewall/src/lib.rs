//! Keeps nftables in step with the Teredo port.
//!
//! The UDP port of a Teredo client is dynamic, so a firewall that lets it through statically is
//! wrong or too wide. The agent of this crate learns of every change before the client sends from
//! the new port, changes the ruleset in one transaction, and confirms: no datagram is dropped
//! meanwhile, and the old port is closed when the new one opens.
//!
//! There are two ways to let the port through:
//!
//! - [`Target::AdministratorSet`]: the administrator's rules look in a set, and the agent owns its
//!   elements alone. The set holds exactly the current port, as a lease that the agent renews: if
//!   the agent is killed, the port closes.
//! - [`Target::OwnTable`]: the agent has rules in a table of its own, which the kernel removes when
//!   the agent ends, and which nobody else can flush. It suits a host on which nothing else drops
//!   the traffic, since an `accept` there does not override the `drop` of another table.
//!
//! In both, the table `inet teredo` closes the inside of the tunnel: what comes out of it without
//! having been asked for is dropped, but for ICMPv6 and what [`AgentConfig::allow_inbound`] names.
//!
//! A ruleset for the first way:
//!
//! ```text
#![doc = include_str!("../administrator.nft")]
//! ```

#![forbid(unsafe_code)]

mod agent;
mod config;
mod leased_set;
mod source;
mod status;
mod table;

#[cfg(test)]
mod testing;

pub use agent::{Agent, AgentError, run};
pub use config::{
    AgentConfig, ConfigError, DEFAULT_LEASE, DEFAULT_RENEW, Exception, ParseExceptionError,
    ParseSetError, Protocol, SetPath, Target,
};
pub use source::PortSource;
pub use status::{AgentStatus, Resyncs};
