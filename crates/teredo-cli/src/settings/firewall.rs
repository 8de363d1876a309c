//! The settings of `teredo firewall`.

use std::net::SocketAddr;
use std::path::PathBuf;

use teredo_firewall::{AgentConfig, DEFAULT_LEASE, Target};

use super::{given, interface};
use crate::args::FirewallArgs;
use crate::config::FirewallSection;

/// Everything that `teredo firewall` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FirewallSettings {
    pub(crate) agent: AgentConfig,
    /// The sockets of the nodes' services, at least one.
    pub(crate) sockets: Vec<PathBuf>,
    /// Where to serve the metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// Removes the table instead.
    pub(crate) remove: bool,
}

impl FirewallSettings {
    pub(crate) fn new(args: FirewallArgs, section: FirewallSection, socket: PathBuf) -> Self {
        let lease = args.lease.or(section.lease).unwrap_or(DEFAULT_LEASE);
        let agent = AgentConfig {
            target: args
                .set
                .or(section.set)
                .map_or(Target::OwnTable, Target::AdministratorSet),
            backend: args.backend.or(section.backend).unwrap_or_default(),
            interface: interface(args.interface, section.interface),
            allow_inbound: given(args.allow_inbound, section.allow_inbound),
            close_relay_forward: args
                .close_relay_forward
                .or(section.close_relay_forward)
                .unwrap_or(false),
            lease,
            // Two renewals may fail before an entry expires, as with the default lease.
            renew: lease / 3,
        };
        let mut sockets = vec![socket];
        for socket in given(args.follow, section.follow) {
            if !sockets.contains(&socket) {
                sockets.push(socket);
            }
        }
        Self {
            agent,
            sockets,
            metrics: args.metrics.or(section.metrics),
            remove: args.remove,
        }
    }
}
