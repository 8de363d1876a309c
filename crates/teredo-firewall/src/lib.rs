//! Keeps nftables in step with the Teredo port.
//!
//! The UDP port of a Teredo client is dynamic, so a firewall that lets it through statically is
//! wrong or too wide. The agent of this crate learns of every change before the client sends from
//! the new port, changes the ruleset in one transaction, and confirms it. No datagram is dropped
//! meanwhile, and the old port closes when the new one opens.
//!
//! Windows' firewall has a rule for "the Teredo port"; this agent is its counterpart on Linux.
//!
//! There are two ways to let the port through:
//!
//! - [`Target::AdministratorSet`]: the administrator's rules look in a set, to which the agent adds the port. It touches
//!   no other element.
//! - [`Target::OwnTable`]: the agent opens the port in the table `inet teredo`. This suits a host on which nothing else
//!   drops the traffic, because an `accept` there does not override the `drop` of another table. If firewalld or ufw
//!   does, the agent asks the one to let the port through, and marks the datagrams for the other: see [`Backend`].
//!
//! In both, the port is a lease that the agent renews: if the agent is killed, the port closes. And in both, the table
//! `inet teredo` closes the inside of the tunnel: it drops unsolicited traffic, except ICMPv6 and the exceptions of
//! [`AgentConfig::allow_inbound`]. That [`Block`] survives the agent. A client can install it before its interface is up.
//!
//! [`Agent::run`] takes the port from a [`PortSource`]: the local service's
//! [`GatingSubscriber`](teredo_notify::watcher::GatingSubscriber), or the
//! program itself, as `examples/own_source.rs` shows. It needs `CAP_NET_ADMIN`. The rules go to the kernel by
//! [`teredo_nft`].
//!
//! ```no_run
//! # async fn example(port: teredo_notify::watcher::GatingSubscriber) -> Result<(), teredo_firewall::AgentError> {
//! use teredo_firewall::{AgentConfig, Target};
//!
//! let config = AgentConfig {
//!     target: Target::AdministratorSet("inet filter teredo_ports".parse().expect("a set")),
//!     ..AgentConfig::default()
//! };
//! let shutdown = async { tokio::signal::ctrl_c().await.expect("a handler") };
//! teredo_firewall::Agent::new(config)?.run(port, shutdown).await
//! # }
//! ```
//!
//! A ruleset for the first way:
//!
//! ```text
#![doc = include_str!("../administrator.nft")]
//! ```

#![forbid(unsafe_code)]

mod administrator_set;
mod agent;
mod block;
mod claim;
mod config;
mod endpoint_set;
mod firewalld;
mod host;
mod passage;
mod source;
mod table;

#[cfg(test)]
#[path = "../../teredo-nft/src/nft_program.rs"]
mod nft_program;
#[cfg(test)]
mod testing;

pub use agent::{Agent, AgentError, AgentStatus, Ending, Resyncs};
pub use block::{Block, BlockError, ForeignTable};
pub use config::{
    AgentConfig, Backend, ConfigError, DEFAULT_LEASE, DEFAULT_RENEW, Exception, ParseBackendError,
    ParseExceptionError, ParseSetError, Protocol, SetPath, Target,
};
pub use endpoint_set::{ENDPOINT_SET, EndpointSet, EndpointSetError};
pub use host::{UfwPlace, ufw_commands, ufw_lines};
pub use source::PortSource;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
