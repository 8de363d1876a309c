//! What a daemon is told: the command line over the configuration files over the defaults.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use teredo_firewall::{AgentConfig, DEFAULT_LEASE, Target};

use crate::args::{ClientArgs, FirewallArgs, ServerArgs};
use crate::config::{ClientSection, FirewallSection, ServerSection};
use crate::failure::{Exit, Failure};

/// The interface's name where nobody chose one.
const DEFAULT_INTERFACE: &str = "teredo";

/// Everything that `teredo client` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    /// Names or IPv4 addresses, at least one, in the order to try them.
    pub(crate) servers: Vec<String>,
    pub(crate) interface: String,
    /// `0.0.0.0` where the system chooses.
    pub(crate) bind: Ipv4Addr,
    /// `None` where the system chooses.
    pub(crate) port: Option<NonZeroU16>,
    pub(crate) default_route: bool,
    /// Servers and peers may have private addresses (RFC 1918).
    pub(crate) allow_private: bool,
    /// Where the service listens.
    pub(crate) socket: PathBuf,
}

impl ClientSettings {
    pub(crate) fn new(
        args: ClientArgs,
        section: ClientSection,
        socket: PathBuf,
    ) -> Result<Self, Failure> {
        let servers = if args.servers.is_empty() {
            section.servers.unwrap_or_default()
        } else {
            args.servers
        };
        if servers.is_empty() {
            return Err(Failure::new(Exit::Usage, "a client needs a server").hint(
                "teredo client --server HOST, or 'servers' under [client] in the configuration",
            ));
        }
        Ok(Self {
            servers,
            interface: interface(args.interface, section.interface),
            bind: args.bind.or(section.bind).unwrap_or(Ipv4Addr::UNSPECIFIED),
            port: args.port.or(section.port),
            default_route: !args.no_default_route && section.default_route.unwrap_or(true),
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            socket,
        })
    }
}

/// Everything that `teredo server` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    pub(crate) primary: Ipv4Addr,
    pub(crate) secondary: Ipv4Addr,
    /// Clients may have private addresses (RFC 1918).
    pub(crate) allow_private: bool,
}

impl ServerSettings {
    pub(crate) fn new(args: &ServerArgs, section: &ServerSection) -> Result<Self, Failure> {
        // An address on the command line makes the file's secondary one, which belongs to another, void.
        let (address, secondary) = match args.address {
            Some(address) => (Some(address), args.secondary),
            None => (section.address, args.secondary.or(section.secondary)),
        };
        let primary = address.ok_or_else(|| {
            Failure::new(Exit::Usage, "a server needs its address")
                .hint("teredo server --address A, or 'address' under [server] in the configuration")
        })?;
        let secondary = match secondary {
            Some(secondary) => secondary,
            None => u32::from(primary)
                .checked_add(1)
                .map(Ipv4Addr::from)
                .ok_or_else(|| {
                    Failure::new(Exit::Usage, format!("there is no address after {primary}"))
                        .hint("give --secondary B")
                })?,
        };
        if secondary == primary {
            return Err(Failure::new(Exit::Usage, format!("a server needs two addresses, and both are {primary}"))
                .hint("clients tell by the second address whether their NAT maps by destination (RFC 4380 §5.2.1)"));
        }
        Ok(Self {
            primary,
            secondary,
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
        })
    }
}

/// Everything that `teredo firewall` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FirewallSettings {
    pub(crate) agent: AgentConfig,
    /// Where the client's service listens.
    pub(crate) socket: PathBuf,
}

impl FirewallSettings {
    pub(crate) fn new(args: FirewallArgs, section: FirewallSection, socket: PathBuf) -> Self {
        let allow_inbound = if args.allow_inbound.is_empty() {
            section.allow_inbound.unwrap_or_default()
        } else {
            args.allow_inbound
        };
        let lease = args.lease.or(section.lease).unwrap_or(DEFAULT_LEASE);
        let agent = AgentConfig {
            target: args
                .set
                .or(section.set)
                .map_or(Target::OwnTable, Target::AdministratorSet),
            interface: interface(args.interface, section.interface),
            allow_inbound,
            lease,
            // Two renewals may fail before an entry lapses, as with the usual lease.
            renew: lease / 3,
        };
        Self { agent, socket }
    }
}

fn interface(argument: Option<String>, configured: Option<String>) -> String {
    argument
        .or(configured)
        .unwrap_or_else(|| DEFAULT_INTERFACE.to_owned())
}

#[cfg(test)]
mod tests;
