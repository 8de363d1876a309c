//! The settings of `teredo server`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use teredo::server::{Rate, RelayLimits};
use teredo::{Prefix, ServerAddress};
use teredo_tunnel::kernel::DataPathChoice;

use super::{Conflict, cores, given};
use crate::args::ServerArgs;
use crate::config::{Mistakes, Pair, ServerSection};
use crate::failure::{Exit, Failure};

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
    /// Who answers solicitations: the kernel, or user space.
    pub(crate) data_path: DataPathChoice,
    /// Where to serve the metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// The socket of the local service.
    pub(crate) socket: ServerSocket,
}

/// The name of a server's socket, in the folder of those of clients and relays.
pub(crate) const SERVER_SOCKET: &str = "server.sock";

/// The socket of a server's local service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerSocket {
    /// Where the user wants it.
    Chosen(PathBuf),
    /// Beside the default one of clients and relays, which a server may share a host with.
    Default(PathBuf),
}

impl ServerSocket {
    /// The one that the user has named, or else the default: in the folder that the service manager has made, or in the
    /// usual one.
    pub(crate) fn new(chosen: Option<PathBuf>) -> Self {
        if let Some(path) = chosen {
            return Self::Chosen(path);
        }
        let made = std::env::var_os("RUNTIME_DIRECTORY");
        let made = made.and_then(|folders| std::env::split_paths(&folders).next());
        let usual = || {
            Path::new(teredo_notify::DEFAULT_SOCKET)
                .parent()
                .map(Path::to_owned)
        };
        let folder = made.or_else(usual).unwrap_or_default();
        Self::Default(folder.join(SERVER_SOCKET))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Chosen(path) | Self::Default(path) => path,
        }
    }
}

impl ServerSettings {
    pub(crate) fn new(
        args: ServerArgs,
        section: ServerSection,
        socket: ServerSocket,
    ) -> Result<Self, Failure> {
        let configured = args.addresses.is_empty() && args.secondaries.is_empty();
        let places = section.places.clone();
        let pairs = pairs(&args, &section)?;
        let plain_is_configured = args.allow_plain.is_none();
        let settings = Self::of(args, section, socket);
        let (addresses, conflicts) = addresses(&pairs);
        let conflicts = conflicts.into_iter().chain(settings.without_secrets());
        let conflicts: Vec<_> = conflicts
            .map(|conflict| {
                let in_file = match conflict {
                    Conflict::PlainWithoutSecrets => plain_is_configured,
                    _ => configured,
                };
                let place = in_file.then(|| places.get(conflict.key()).cloned());
                (place.flatten(), conflict)
            })
            .collect();
        Mistakes::from_conflicts(conflicts).none_or(())?;
        if addresses.is_empty() {
            return Err(Failure::new(Exit::Usage, "a server needs its address")
                .hint("use --address A, or set 'address' under [server] in the configuration"));
        }
        Ok(Self {
            pairs: addresses,
            ..settings
        })
    }

    /// Without the pairs.
    pub(crate) fn of(args: ServerArgs, section: ServerSection, socket: ServerSocket) -> Self {
        Self {
            pairs: Vec::new(),
            allow_private: args
                .allow_private
                .or(section.allow_private)
                .unwrap_or(false),
            serve: given(args.serve, section.serve),
            deny: given(args.deny, section.deny),
            secret_file: args.secret_file.or(section.secret_file),
            allow_plain: args.allow_plain.or(section.allow_plain).unwrap_or(false),
            workers: args.workers.or(section.workers).unwrap_or_else(cores),
            limits: limits(
                args.relay_rate.or(section.relay_rate),
                args.relay_total.or(section.relay_total),
                args.advertisement_rate.or(section.advertisement_rate),
            ),
            data_path: args.data_path.or(section.data_path).unwrap_or_default(),
            metrics: args.metrics.or(section.metrics),
            socket,
        }
    }

    /// Without secrets every client is served, so a lone `allow_plain` hints at a forgotten key.
    fn without_secrets(&self) -> Option<Conflict> {
        (self.allow_plain && self.secret_file.is_none()).then_some(Conflict::PlainWithoutSecrets)
    }
}

/// The contradictions in the files. A missing key may come from the command line.
pub(super) fn conflicts(section: &ServerSection) -> Vec<Conflict> {
    if section.address.is_none() && section.pairs.is_none() {
        return Vec::new();
    }
    let settings = ServerSettings::of(
        ServerArgs::default(),
        section.clone(),
        ServerSocket::new(None),
    );
    let mut conflicts = addresses(&configured_pairs(section, None)).1;
    conflicts.extend(settings.without_secrets());
    conflicts
}

/// The addresses that a server with these options and settings has, the second ones included; none if they contradict
/// each other.
pub(crate) fn serves(args: &ServerArgs, section: &ServerSection) -> Vec<Ipv4Addr> {
    let pairs = pairs(args, section).unwrap_or_default();
    let (addresses, _) = addresses(&pairs);
    addresses
        .into_iter()
        .flat_map(|pair| [pair.primary, pair.secondary])
        .collect()
}

/// The next address, where there is one.
pub(crate) fn next_address(address: Ipv4Addr) -> Option<Ipv4Addr> {
    u32::from(address).checked_add(1).map(Ipv4Addr::from)
}

/// A pair, and the key that it comes from.
type Named = (&'static str, Pair);

/// An address on the command line replaces all pairs of the files.
fn pairs(args: &ServerArgs, section: &ServerSection) -> Result<Vec<Named>, Failure> {
    let (primaries, secondaries) = (&args.addresses, &args.secondaries);
    if primaries.is_empty() && secondaries.len() < 2 {
        return Ok(configured_pairs(section, secondaries.first().copied()));
    }
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
    let pair = |(index, &address)| {
        let secondary = secondaries.get(index).copied();
        ("address", Pair { address, secondary })
    };
    Ok(primaries.iter().enumerate().map(pair).collect())
}

/// The keys `address` and `secondary` are the first pair.
fn configured_pairs(section: &ServerSection, secondary: Option<Ipv4Addr>) -> Vec<Named> {
    let first = section.address.map(|address| Pair {
        address,
        secondary: secondary.or(section.secondary),
    });
    let further = section.pairs.iter().flatten();
    first
        .map(|pair| ("address", pair))
        .into_iter()
        .chain(further.map(|&pair| ("pairs", pair)))
        .collect()
}

fn addresses(pairs: &[Named]) -> (Vec<ServerAddress>, Vec<Conflict>) {
    let mut taken = BTreeSet::new();
    let mut addresses = Vec::new();
    let mut conflicts = Vec::new();
    for &(key, Pair { address, secondary }) in pairs {
        let primary = address;
        let Some(secondary) = secondary.or_else(|| next_address(primary)) else {
            conflicts.push(Conflict::NoNextAddress { key, primary });
            continue;
        };
        if secondary == primary {
            conflicts.push(Conflict::OneAddress { key, primary });
            continue;
        }
        for address in [primary, secondary] {
            if !taken.insert(address) {
                conflicts.push(Conflict::InTwoPairs { key, address });
            }
        }
        addresses.push(ServerAddress { primary, secondary });
    }
    (addresses, conflicts)
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
