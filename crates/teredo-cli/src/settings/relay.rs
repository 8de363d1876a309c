//! The settings of `teredo relay`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use teredo::Prefix;
use teredo_node::DEFAULT_RELAY_PORT;
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use super::{Conflict, cores, given, interface};
use crate::args::RelayArgs;
use crate::config::{Mistakes, RelaySection};
use crate::failure::{Exit, Failure};

/// Relay-wide limits are split across lanes, so lanes beyond those that help do harm.
const MAX_DEFAULT_LANES: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Everything that `teredo relay` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RelaySettings {
    /// `0.0.0.0` lets the system choose.
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    /// Serves this host alone.
    pub(crate) host: bool,
    /// The networks that clients may reach; the whole IPv6 Internet if empty.
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 networks to exchange no packets with.
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// `None` lets the address decide.
    pub(crate) direct_bubbles: Option<bool>,
    pub(crate) workers: NonZeroUsize,
    pub(crate) interface: String,
    /// Closes this host to what comes out of the tunnel before it is up.
    pub(crate) protect: bool,
    /// Allows RFC 1918 addresses of servers and clients.
    pub(crate) allow_private: bool,
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

impl RelaySettings {
    pub(crate) fn new(
        args: RelayArgs,
        section: RelaySection,
        socket: PathBuf,
    ) -> Result<Self, Failure> {
        if args.host == Some(true) && !args.serve.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "--host and --serve contradict each other: with --host, the relay serves this host alone",
            )
            .hint("give one of the two options"));
        }
        if args.host.is_none() && args.serve.is_empty() {
            let conflicts = conflicts(&section).into_iter().map(|conflict| {
                let place = section.places.get(conflict.key()).cloned();
                (place, conflict)
            });
            Mistakes::from_conflicts(conflicts.collect()).none_or(())?;
        }
        let has_address = args.address.or(section.address).is_some();
        let settings = Self::of(args, section, socket);
        if !has_address && !settings.host {
            return Err(Failure::new(Exit::Usage, "a relay needs its address")
                .hint("use --address A, or set 'address' under [relay] in the configuration"));
        }
        Ok(settings)
    }

    /// May lack the address.
    pub(crate) fn of(args: RelayArgs, section: RelaySection, socket: PathBuf) -> Self {
        // `--host` and `--serve` each override the other's key in the files.
        let configured = args.serve.is_empty() && section.host.unwrap_or(false);
        let host = args.host.unwrap_or(configured);
        let serve = match args.serve {
            _ if host => Vec::new(),
            serve => given(serve, section.serve),
        };
        Self {
            address: args
                .address
                .or(section.address)
                .unwrap_or(Ipv4Addr::UNSPECIFIED),
            port: args
                .port
                .or(section.port)
                .map_or(DEFAULT_RELAY_PORT, Into::into),
            host,
            serve,
            deny: given(args.deny, section.deny),
            direct_bubbles: args.direct_bubbles.or(section.direct_bubbles),
            workers: args
                .workers
                .or(section.workers)
                .unwrap_or_else(|| match host {
                    true => NonZeroUsize::MIN,
                    false => cores().min(MAX_DEFAULT_LANES),
                }),
            interface: interface(args.interface, section.interface),
            protect: args.protect.or(section.protect).unwrap_or(false),
            allow_private: args
                .allow_private
                .or(section.allow_private)
                .unwrap_or(false),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            data_path: args.data_path.or(section.data_path).unwrap_or_default(),
            group: args.group.or(section.group),
            metrics: args.metrics.or(section.metrics),
            socket,
        }
    }
}

/// The contradictions in the files. A missing key may come from the command line.
pub(super) fn conflicts(section: &RelaySection) -> Vec<Conflict> {
    let serves = section.serve.as_ref().is_some_and(|nets| !nets.is_empty());
    if section.host == Some(true) && serves {
        vec![Conflict::HostServes]
    } else {
        Vec::new()
    }
}
