//! The settings of each daemon: the command line first, then the configuration files, then the defaults.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use teredo::server::{Rate, RelayLimits};
use teredo::{Prefix, ServerAddress};
use teredo_firewall::{AgentConfig, DEFAULT_LEASE, Target};
use teredo_node::DEFAULT_RELAY_PORT;
use teredo_tunnel::offload::Offload;

use crate::args::{ClientArgs, FirewallArgs, NativePolicy, RelayArgs, ServerArgs};
use crate::config::{ClientSection, Config, FirewallSection, Pair, RelaySection, ServerSection};
use crate::failure::{Exit, Failure};

/// The default name of the interface.
const DEFAULT_INTERFACE: &str = "teredo";

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
    /// What to do if the host has native IPv6 (RFC 4380 §5.5).
    pub(crate) native_ipv6: NativePolicy,
    pub(crate) offload: Offload,
    /// The group whose members may control the service; none: the default one, if it exists.
    pub(crate) group: Option<String>,
    /// The socket of the local service.
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
            return Err(Failure::new(Exit::Usage, "a client needs a server")
                .hint("use --server HOST, or set 'servers' under [client] in the configuration"));
        }
        // It keeps a second port open for minutes, and few NATs allow a longer interval.
        let determine_refresh =
            args.determine_refresh || section.determine_refresh.unwrap_or(false);
        Ok(Self {
            servers,
            interface: interface(args.interface, section.interface),
            bind: args.bind.or(section.bind).unwrap_or(Ipv4Addr::UNSPECIFIED),
            port: args.port.or(section.port),
            default_route: !args.no_default_route && section.default_route.unwrap_or(true),
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            deny: given(args.deny, section.deny),
            secret_file: args.secret_file.or(section.secret_file),
            protect: args.protect || section.protect.unwrap_or(false),
            // Few home routers hairpin, so two clients of a home could not reach each other without it.
            local_discovery: !args.no_local_discovery && section.local_discovery.unwrap_or(true),
            refresh_interval: args
                .refresh_interval
                .or(section.refresh_interval)
                .unwrap_or(if determine_refresh {
                    RFC_REFRESH_INTERVAL
                } else {
                    DEFAULT_REFRESH_INTERVAL
                }),
            determine_refresh,
            // A node with native IPv6 must not be a client (RFC 4380 §5.5).
            native_ipv6: args
                .native_ipv6
                .or(section.native_ipv6)
                .unwrap_or(NativePolicy::Dormant),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            group: args.group.or(section.group),
            socket,
        })
    }
}

/// Everything that `teredo server` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// At least one pair; each address appears once.
    pub(crate) pairs: Vec<ServerAddress>,
    /// Allows RFC 1918 addresses of clients.
    pub(crate) allow_private: bool,
    /// The IPv6 networks that packets are forwarded to; the whole IPv6 Internet if empty.
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 networks to exchange no packets with.
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// The clients' secrets, if the server has any.
    pub(crate) secret_file: Option<PathBuf>,
    /// Also serves clients without a secret.
    pub(crate) allow_plain: bool,
    pub(crate) workers: NonZeroUsize,
    pub(crate) limits: RelayLimits,
}

impl ServerSettings {
    pub(crate) fn new(args: ServerArgs, section: ServerSection) -> Result<Self, Failure> {
        let secret_file = args.secret_file.or(section.secret_file);
        let allow_plain = args.allow_plain || section.allow_plain.unwrap_or(false);
        if allow_plain && secret_file.is_none() {
            return Err(Failure::new(
                Exit::Usage,
                "--allow-plain ('allow_plain') needs a secret file",
            )
            .hint("add --secret-file FILE; without either option the server serves every client"));
        }
        let pairs = if args.addresses.is_empty() && args.secondaries.len() < 2 {
            // The keys 'address' and 'secondary' are the first pair.
            let first = section.address.map(|address| Pair {
                address,
                secondary: args.secondaries.first().copied().or(section.secondary),
            });
            let further = section.pairs.unwrap_or_default();
            first.into_iter().chain(further).collect()
        } else {
            // An address on the command line replaces all pairs of the file.
            in_pairs(&args.addresses, &args.secondaries)?
        };
        Ok(Self {
            pairs: addresses(&pairs)?,
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            serve: given(args.serve, section.serve),
            deny: given(args.deny, section.deny),
            secret_file,
            allow_plain,
            workers: args.workers.or(section.workers).unwrap_or_else(cores),
            limits: limits(
                section.relay_rate,
                section.relay_total,
                section.advertisement_rate,
            ),
        })
    }
}

/// Pairs the first primary address with the first secondary one, and so on.
fn in_pairs(primaries: &[Ipv4Addr], secondaries: &[Ipv4Addr]) -> Result<Vec<Pair>, Failure> {
    if !secondaries.is_empty() && secondaries.len() != primaries.len() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "--address was given {} times, but --secondary {} times",
                primaries.len(),
                secondaries.len()
            ),
        )
        .hint("give one --secondary for each --address, or none at all"));
    }
    let pair = |(index, &address)| Pair {
        address,
        secondary: secondaries.get(index).copied(),
    };
    Ok(primaries.iter().enumerate().map(pair).collect())
}

fn addresses(pairs: &[Pair]) -> Result<Vec<ServerAddress>, Failure> {
    let mut taken = BTreeSet::new();
    let mut addresses = Vec::new();
    for &Pair { address, secondary } in pairs {
        let primary = address;
        let secondary = match secondary {
            Some(secondary) => secondary,
            None => u32::from(primary)
                .checked_add(1)
                .map(Ipv4Addr::from)
                .ok_or_else(|| {
                    Failure::new(
                        Exit::Usage,
                        format!("{primary} has no next address to be the secondary one"),
                    )
                    .hint("give --secondary B")
                })?,
        };
        if secondary == primary {
            return Err(Failure::new(
                Exit::Usage,
                format!("a server needs two addresses, but both are {primary}"),
            )
            .hint("clients use the second address to detect a symmetric NAT (RFC 4380 §5.2.1)"));
        }
        for address in [primary, secondary] {
            if !taken.insert(address) {
                return Err(
                    Failure::new(Exit::Usage, format!("{address} is in two pairs")).hint(
                        "without --secondary, the secondary address is the primary address plus one",
                    ),
                );
            }
        }
        addresses.push(ServerAddress { primary, secondary });
    }
    if addresses.is_empty() {
        return Err(Failure::new(Exit::Usage, "a server needs its address")
            .hint("use --address A, or set 'address' under [server] in the configuration"));
    }
    Ok(addresses)
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A burst to one destination may be two seconds' worth; a burst in total, one second's.
fn limits(to_one: Option<u32>, total: Option<u32>, advertisements: Option<u32>) -> RelayLimits {
    let mut limits = RelayLimits::default();
    let rate = |per_second: u32, seconds: u32| {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = per_second.saturating_mul(NonZeroU32::new(seconds)?);
        Some(Rate { per_second, burst })
    };
    if let Some(per_second) = to_one {
        limits.per_destination = rate(per_second, 2);
    }
    if let Some(per_second) = advertisements {
        limits.advertisements = rate(per_second, 2);
    }
    if let Some(per_second) = total {
        limits.total = rate(per_second, 1);
    }
    limits
}

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
    /// The group whose members may control the service; none: the default one, if it exists.
    pub(crate) group: Option<String>,
    /// The socket of the local service.
    pub(crate) socket: PathBuf,
}

impl RelaySettings {
    pub(crate) fn new(
        args: RelayArgs,
        section: RelaySection,
        socket: PathBuf,
    ) -> Result<Self, Failure> {
        if !args.host && args.serve.is_empty() {
            check_relay(&section)?;
        }
        // `--host` and `--serve` each override the other's key in the file.
        let host = args.host || (args.serve.is_empty() && section.host.unwrap_or(false));
        let address = match args.address.or(section.address) {
            Some(address) => address,
            None if host => Ipv4Addr::UNSPECIFIED,
            None => {
                return Err(Failure::new(Exit::Usage, "a relay needs its address")
                    .hint("use --address A, or set 'address' under [relay] in the configuration"));
            }
        };
        let serve = match args.serve {
            _ if host => Vec::new(),
            serve => given(serve, section.serve),
        };
        Ok(Self {
            address,
            port: args
                .port
                .or(section.port)
                .map_or(DEFAULT_RELAY_PORT, Into::into),
            host,
            serve,
            deny: given(args.deny, section.deny),
            direct_bubbles: args
                .direct_bubbles
                .then_some(true)
                .or(section.direct_bubbles),
            workers: args
                .workers
                .or(section.workers)
                .unwrap_or_else(|| match host {
                    true => NonZeroUsize::MIN,
                    false => cores().min(MAX_DEFAULT_LANES),
                }),
            interface: interface(args.interface, section.interface),
            protect: args.protect || section.protect.unwrap_or(false),
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            group: args.group.or(section.group),
            socket,
        })
    }
}

/// Checks the keys that contradict each other. A missing key may come from the command line.
pub(crate) fn check(config: Config) -> Result<(), Failure> {
    check_relay(&config.relay)?;
    if config.server.address.is_some() || config.server.pairs.is_some() {
        ServerSettings::new(ServerArgs::default(), config.server)?;
    }
    Ok(())
}

fn check_relay(section: &RelaySection) -> Result<(), Failure> {
    let serves = section.serve.as_ref().is_some_and(|nets| !nets.is_empty());
    if section.host == Some(true) && serves {
        return Err(Failure::new(
            Exit::Usage,
            "'host' and 'serve' under [relay] contradict each other: with 'host', the relay serves this host alone",
        )
        .hint("remove one of the two keys"));
    }
    Ok(())
}

/// Everything that `teredo firewall` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FirewallSettings {
    pub(crate) agent: AgentConfig,
    /// The sockets of the nodes' services, at least one.
    pub(crate) sockets: Vec<PathBuf>,
    /// Removes the table instead.
    pub(crate) remove: bool,
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
            close_relay_forward: args.close_relay_forward
                || section.close_relay_forward.unwrap_or(false),
            lease,
            // Two renewals may fail before an entry expires, as with the default lease.
            renew: lease / 3,
        };
        let further = if args.follow.is_empty() {
            section.follow.unwrap_or_default()
        } else {
            args.follow
        };
        let mut sockets = vec![socket];
        for socket in further {
            if !sockets.contains(&socket) {
                sockets.push(socket);
            }
        }
        Self {
            agent,
            sockets,
            remove: args.remove,
        }
    }
}

/// The list of the command line, or else that of the configuration.
fn given<T>(list: Vec<T>, configured: Option<Vec<T>>) -> Vec<T> {
    if list.is_empty() {
        configured.unwrap_or_default()
    } else {
        list
    }
}

fn interface(argument: Option<String>, configured: Option<String>) -> String {
    argument
        .or(configured)
        .unwrap_or_else(|| DEFAULT_INTERFACE.to_owned())
}

#[cfg(test)]
mod tests;
