//! What a daemon is told: the command line over the configuration files over the defaults.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use teredo::server::{Rate, RelayLimits};
use teredo::{Prefix, ServerAddress};
use teredo_firewall::{AgentConfig, DEFAULT_LEASE, Target};
use teredo_tunnel::lane::Offload;

use crate::args::{ClientArgs, FirewallArgs, NativePolicy, RelayArgs, ServerArgs};
use crate::config::{ClientSection, Config, FirewallSection, Pair, RelaySection, ServerSection};
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
    /// The identifiers and secrets, where the client qualifies securely.
    pub(crate) secret_file: Option<PathBuf>,
    /// Other clients on the same link are looked for (RFC 4380 §5.2.8).
    pub(crate) local_discovery: bool,
    /// A longer refresh interval is looked for (RFC 4380 §5.2.7).
    pub(crate) determine_refresh: bool,
    /// What to do where the host has IPv6 by other means (RFC 4380 §5.5).
    pub(crate) native_ipv6: NativePolicy,
    pub(crate) offload: Offload,
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
            secret_file: args.secret_file.or(section.secret_file),
            // Few home routers lead from one of their hosts to another, so neighbours could not reach each other.
            local_discovery: !args.no_local_discovery && section.local_discovery.unwrap_or(true),
            // A second port, some minutes long, for what few NATs give.
            determine_refresh: args.determine_refresh || section.determine_refresh.unwrap_or(false),
            // A node with IPv6 by other means must not be a client (RFC 4380 §5.5).
            native_ipv6: args
                .native_ipv6
                .or(section.native_ipv6)
                .unwrap_or(NativePolicy::Dormant),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            socket,
        })
    }
}

/// Everything that `teredo server` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// At least one, and no address twice.
    pub(crate) pairs: Vec<ServerAddress>,
    /// Clients may have private addresses (RFC 1918).
    pub(crate) allow_private: bool,
    /// The clients' secrets, where there are any.
    pub(crate) secret_file: Option<PathBuf>,
    /// Clients without a secret are served as well.
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
                "clients without a secret are served as well: as well as whom?",
            )
            .hint("--allow-plain goes with --secret-file; without either, everybody is served"));
        }
        let pairs = if args.addresses.is_empty() && args.secondaries.len() < 2 {
            // The first pair has keys of its own.
            let first = section.address.map(|address| Pair {
                address,
                secondary: args.secondaries.first().copied().or(section.secondary),
            });
            let further = section.pairs.unwrap_or_default();
            first.into_iter().chain(further).collect()
        } else {
            // An address on the command line makes the file's ones, with what belongs to them, void.
            in_pairs(&args.addresses, &args.secondaries)?
        };
        Ok(Self {
            pairs: addresses(&pairs)?,
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            secret_file,
            allow_plain,
            workers: args.workers.or(section.workers).unwrap_or_else(cores),
            limits: limits(section.relay_rate, section.relay_total),
        })
    }
}

/// The first secondary address belongs to the first primary one, and so on.
fn in_pairs(primaries: &[Ipv4Addr], secondaries: &[Ipv4Addr]) -> Result<Vec<Pair>, Failure> {
    if !secondaries.is_empty() && secondaries.len() != primaries.len() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} times --address, and {} times --secondary",
                primaries.len(),
                secondaries.len()
            ),
        )
        .hint("give --secondary once for each --address, or not at all"));
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
                    Failure::new(Exit::Usage, format!("there is no address after {primary}"))
                        .hint("give --secondary B")
                })?,
        };
        if secondary == primary {
            return Err(Failure::new(Exit::Usage, format!("a server needs two addresses, and both are {primary}"))
                .hint("clients tell by the second address whether their NAT maps by destination (RFC 4380 §5.2.1)"));
        }
        for address in [primary, secondary] {
            if !taken.insert(address) {
                return Err(
                    Failure::new(Exit::Usage, format!("{address} is in two pairs")).hint(
                        "where --secondary is not given, it is the address after the primary one",
                    ),
                );
            }
        }
        addresses.push(ServerAddress { primary, secondary });
    }
    if addresses.is_empty() {
        return Err(Failure::new(Exit::Usage, "a server needs its address")
            .hint("teredo server --address A, or 'address' under [server] in the configuration"));
    }
    Ok(addresses)
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// To one destination, two seconds' worth may go at once; altogether, one second's.
fn limits(to_one: Option<u32>, altogether: Option<u32>) -> RelayLimits {
    let mut limits = RelayLimits::default();
    let rate = |per_second: u32, seconds: u32| {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = per_second.saturating_mul(NonZeroU32::new(seconds)?);
        Some(Rate { per_second, burst })
    };
    if let Some(per_second) = to_one {
        limits.per_destination = rate(per_second, 2);
    }
    if let Some(per_second) = altogether {
        limits.total = rate(per_second, 1);
    }
    limits
}

/// The port of a relay where nobody chose one, next to the server's. Clients go on sending to it through a restart.
const DEFAULT_RELAY_PORT: u16 = 3545;

/// What a relay may do altogether is divided among its threads, so that more of them than help do harm.
const ENOUGH_FOR_A_RELAY: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Everything that `teredo relay` needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RelaySettings {
    /// `0.0.0.0` where the system chooses.
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    /// Works for this host alone.
    pub(crate) host: bool,
    /// The networks that clients may reach; all of the IPv6 Internet where there are none.
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 networks to have nothing to do with.
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// `None` where it depends on the address.
    pub(crate) direct_bubbles: Option<bool>,
    pub(crate) workers: NonZeroUsize,
    pub(crate) interface: String,
    /// Servers and clients may have private addresses (RFC 1918).
    pub(crate) allow_private: bool,
    pub(crate) offload: Offload,
    /// Where the service listens.
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
        // A wish on the command line makes the file's other one void.
        let host = args.host || (args.serve.is_empty() && section.host.unwrap_or(false));
        let address = match args.address.or(section.address) {
            Some(address) => address,
            None if host => Ipv4Addr::UNSPECIFIED,
            None => {
                return Err(Failure::new(Exit::Usage, "a relay needs its address").hint(
                    "teredo relay --address A, or 'address' under [relay] in the configuration",
                ));
            }
        };
        let given = |list: Vec<_>, configured: Option<Vec<_>>| match list {
            list if list.is_empty() => configured.unwrap_or_default(),
            list => list,
        };
        let serve = match args.serve {
            _ if host => Vec::new(),
            serve if serve.is_empty() => section.serve.unwrap_or_default(),
            serve => serve,
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
                    false => cores().min(ENOUGH_FOR_A_RELAY),
                }),
            interface: interface(args.interface, section.interface),
            allow_private: args.allow_private || section.allow_private.unwrap_or(false),
            offload: args.offload.or(section.offload).unwrap_or_default(),
            socket,
        })
    }
}

/// Names what cannot be meant, although each key by itself can; what is missing may come from the command line.
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
            "a relay for its host alone ('host' under [relay]) has no networks to 'serve'",
        )
        .hint("remove one of the two keys"));
    }
    Ok(())
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
