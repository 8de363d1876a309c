//! The settings of `teredo client`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use teredo::client::NatTraversal;
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use super::{given, interface};
use crate::args::{ClientArgs, NativePolicy};
use crate::config::ClientSection;
use crate::failure::{Exit, Failure};

/// DEVIATION(rfc4380 §5.2): the program's client refreshes within 8 s instead of 30 s unless told otherwise. A dead
/// server is given up after 12 s instead of 39 s, and a NAT that forgets in 15 s keeps the mapping. It costs a packet
/// each way every 7 s.
const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(8);

/// Where the search for the longest interval begins (RFC 4380 §5.2.7).
const RFC_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that `teredo client` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    /// Names or IPv4 addresses, at least one, in the order to try them.
    pub(crate) servers: Vec<String>,
    pub(crate) interface: String,
    /// `0.0.0.0` lets the system choose.
    pub(crate) bind: Ipv4Addr,
    /// `None` lets the system choose.
    pub(crate) port: Option<NonZeroU16>,
    pub(crate) default_route: bool,
    /// Allows RFC 1918 addresses of servers and peers.
    pub(crate) allow_private: bool,
    /// IPv4 networks to exchange no packets with.
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// The secrets, if the client qualifies securely (RFC 4380 §5.2.2).
    pub(crate) secret_file: Option<PathBuf>,
    /// Closes the inside of the tunnel before it is up.
    pub(crate) protect: bool,
    /// Looks for other clients on the same link (RFC 4380 §5.2.8).
    pub(crate) local_discovery: bool,
    /// How long a NAT is trusted to keep a mapping, and the server to live, without traffic (RFC 4380 §5.2).
    pub(crate) refresh_interval: Duration,
    /// Searches for the longest refresh interval (RFC 4380 §5.2.7).
    pub(crate) determine_refresh: bool,
    /// How to get through NATs.
    pub(crate) nat_traversal: NatTraversal,
    /// Asks the router for a mapping of the service port (RFC 6081 §5.3).
    pub(crate) igd: bool,
    /// What to do if the host has native IPv6 (RFC 4380 §5.5).
    pub(crate) native_ipv6: NativePolicy,
    pub(crate) offload: Offload,
    /// The path of known peers: in the kernel, or in user space.
    pub(crate) data_path: DataPathChoice,
    /// The group whose members may control the service; none: the default one, if it exists.
    pub(crate) group: Option<String>,
    /// Where to serve the metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// The socket of the local service.
    pub(crate) socket: PathBuf,
}

impl ClientSettings {
    pub(crate) fn new(
        args: ClientArgs,
        section: ClientSection,
        socket: PathBuf,
    ) -> Result<Self, Failure> {
        let settings = Self::of(args, section, socket);
        if settings.servers.is_empty() {
            return Err(Failure::new(Exit::Usage, "a client needs a server")
                .hint("use --server HOST, or set 'servers' under [client] in the configuration"));
        }
        if settings.igd && cfg!(not(feature = "igd")) {
            return Err(
                Failure::new(Exit::Usage, "this program asks no router for a port")
                    .because("it was built without the feature 'igd'")
                    .hint("remove 'igd' from the configuration"),
            );
        }
        Ok(settings)
    }

    /// May lack a server.
    pub(crate) fn of(args: ClientArgs, section: ClientSection, socket: PathBuf) -> Self {
        // It keeps a second port open for minutes, and few NATs allow a longer interval.
        let determine_refresh = args
            .determine_refresh
            .or(section.determine_refresh)
            .unwrap_or(false);
        Self {
            servers: given(args.servers, section.servers),
            interface: interface(args.interface, section.interface),
            bind: args.bind.or(section.bind).unwrap_or(Ipv4Addr::UNSPECIFIED),
            port: args.port.or(section.port),
            default_route: switch(args.default_route, args.no_default_route)
                .or(section.default_route)
                .unwrap_or(true),
            allow_private: args
                .allow_private
                .or(section.allow_private)
                .unwrap_or(false),
            deny: given(args.deny, section.deny),
            secret_file: args.secret_file.or(section.secret_file),
            protect: args.protect.or(section.protect).unwrap_or(false),
            // Few home routers hairpin, so two clients of a home could not reach each other without it.
            local_discovery: switch(args.local_discovery, args.no_local_discovery)
                .or(section.local_discovery)
                .unwrap_or(true),
            refresh_interval: args
                .refresh_interval
                .or(section.refresh_interval)
                .unwrap_or(if determine_refresh {
                    RFC_REFRESH_INTERVAL
                } else {
                    DEFAULT_REFRESH_INTERVAL
                }),
            determine_refresh,
            nat_traversal: args
                .nat_traversal
                .or(section.nat_traversal)
                .unwrap_or_default(),
            // Every program of the network may do the same, so some routers and administrators forbid it.
            igd: args.igd.or(section.igd).unwrap_or(false),
            // A node with native IPv6 must not be a client (RFC 4380 §5.5).
            native_ipv6: args
                .native_ipv6
                .or(section.native_ipv6)
                .unwrap_or(NativePolicy::Dormant),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            data_path: args.data_path.or(section.data_path).unwrap_or_default(),
            group: args.group.or(section.group),
            metrics: args.metrics.or(section.metrics),
            socket,
        }
    }
}

/// A key with an option to set it, and one to turn it off.
fn switch(set: Option<bool>, off: bool) -> Option<bool> {
    if off { Some(false) } else { set }
}
