//! The command line.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;
use teredo::Prefix;
use teredo_firewall::{Exception, SetPath};
use teredo_lab::NatKind;
use teredo_notify::types::EventName;
use teredo_tunnel::lane::Offload;

pub(crate) use self::usage::usage_failure;

mod usage;
pub(crate) mod value;

/// The configuration file that need not be there.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/teredo/teredo.toml";

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    failed
  2    the command line is wrong
  3    not ready: no port, or the client is not qualified
  4    not permitted
  5    no client answers on the socket
  124  a wait ran out of time";

const SERVER_SIGNALS: &str = "\
Signals:
  SIGUSR1  say what was done so far, on standard error
  SIGHUP   read the secrets again; without --secret-file, end";

const RELAY_NOTES: &str = "\
A relay is a router: the host must forward IPv6 (sysctl net.ipv6.conf.all.forwarding=1), which \
teredo leaves to its administrator, and routes to 2001::/32 must lead to it. On a host that is a \
Teredo server too, give it an address that is not one of the server's.

With --host it is a relay for this host alone: nothing is forwarded, and Teredo clients are talked \
to directly, from the host's own IPv6 addresses.";

/// The Teredo system for Linux: IPv6 through UDP and NATs, and a firewall that follows the port.
///
/// Without a command: `teredo status`.
#[derive(Debug, Parser)]
#[command(name = "teredo", version, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The service's socket [env: TEREDO_SOCKET] [default: /run/teredo/teredo.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The configuration file; FILE.d/*.toml are read after it [default: /etc/teredo/teredo.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log what goes on, on standard error (RUST_LOG chooses more finely)
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a client in the foreground
    Client(ClientArgs),
    /// Run a server in the foreground, on UDP port 3544 of two addresses
    Server(ServerArgs),
    /// Run a relay in the foreground, between Teredo clients and the IPv6 Internet
    #[command(after_help = RELAY_NOTES)]
    Relay(RelayArgs),
    /// Run the firewall agent in the foreground: nftables follows the port
    Firewall(FirewallArgs),
    /// Show the state, the port, the addresses, the NAT, the peers and the drops
    Status(StatusArgs),
    /// Print the port, alone on a line
    Port(PortArgs),
    /// Print the current state, then every event
    Monitor(MonitorArgs),
    /// Move the client to another port
    Rebind(RebindArgs),
    /// Stop the client; its service goes on
    Stop,
    /// Start a client that was stopped
    Start,
    /// Take Teredo addresses apart, and put them together
    #[command(subcommand)]
    Address(AddressCommand),
    /// Explain a status code, an exit code or the reason of a drop
    Explain(ExplainArgs),
    /// Show the whole system at work on an internet of its own
    Lab(LabArgs),
    /// Look after the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make secrets for secure qualification
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Print the completions for a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory, which must exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    /// A Teredo server, by name or IPv4 address; give it again for a second one
    #[arg(long = "server", value_name = "HOST", value_parser = value::host)]
    pub(crate) servers: Vec<String>,
    /// The name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// The local IPv4 address to send from [default: the system's choice]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<Ipv4Addr>,
    /// The local UDP port [default: the system's choice]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Leave the IPv6 default route alone; reach other Teredo nodes only
    #[arg(long)]
    pub(crate) no_default_route: bool,
    /// Accept servers and peers on private addresses (RFC 1918), as laboratories have them
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Qualify securely (RFC 4380 §5.2.2), with the identifier and the secret in this file: a line 'NAME:SECRET', as
    /// 'teredo secret new' prints it, and behind it the server that it is for, if it is not for all
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Neither look for other clients on the same link nor answer them
    #[arg(long)]
    pub(crate) no_local_discovery: bool,
    /// Look for a longer refresh interval, with a second UDP port for some minutes
    #[arg(long)]
    pub(crate) determine_refresh: bool,
    /// What to do where the host has IPv6 by other means [default: dormant]
    #[arg(long, value_name = "WHAT")]
    pub(crate) native_ipv6: Option<NativePolicy>,
    /// Let the kernel take and hand over many packets as one: auto, or off to find out whether a fault lies there
    /// [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true
    )]
    pub(crate) offload: Option<Offload>,
}

/// What becomes of a client on a host that has native IPv6 (RFC 4380 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NativePolicy {
    /// Be dormant, without port and address, until it is gone
    Dormant,
    /// Go on; the native addresses and routes have precedence
    Ignore,
}

#[derive(Args, Debug, Default)]
#[command(after_help = SERVER_SIGNALS)]
pub(crate) struct ServerArgs {
    /// The primary IPv4 address, the one that clients are told; give it again for a second pair
    #[arg(long = "address", value_name = "A")]
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// The secondary IPv4 address, one for each --address [default: the primary one + 1]
    #[arg(long = "secondary", value_name = "B")]
    pub(crate) secondaries: Vec<Ipv4Addr>,
    /// Serve clients on private addresses (RFC 1918), as laboratories have them
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Serve only clients that prove who they are (RFC 4380 §5.2.2): a line 'NAME:SECRET' for each, as 'teredo secret
    /// new' prints it; with 'retired' behind it, the client is told to obtain a new secret
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Serve clients without a secret as well
    #[arg(long)]
    pub(crate) allow_plain: bool,
    /// The number of threads, each with a socket on every address [default: one for each core]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
}

#[derive(Args, Debug)]
pub(crate) struct RelayArgs {
    /// The local IPv4 address to send from; with --host it may be left to the system
    #[arg(long, value_name = "A")]
    pub(crate) address: Option<Ipv4Addr>,
    /// The local UDP port; one that stays the same outlives a restart [default: 3545]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Work for this host alone
    #[arg(long, conflicts_with = "serve")]
    pub(crate) host: bool,
    /// Let clients reach these networks only; give it again for more [default: the IPv6 Internet]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) serve: Vec<Prefix>,
    /// Send nothing to these IPv4 addresses, and take nothing from them; give it again for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Send bubbles to clients directly as well: for a relay behind a NAT [default: if the address is private]
    #[arg(long)]
    pub(crate) direct_bubbles: bool,
    /// The number of threads, each with clients of its own [default: one for each core, 8 at
    /// most; with --host one]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// The name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// Accept servers and clients on private addresses (RFC 1918), as laboratories have them
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Let the kernel take and hand over many packets as one: auto, or off to find out whether a fault lies there
    /// [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true
    )]
    pub(crate) offload: Option<Offload>,
}

#[derive(Args, Debug)]
pub(crate) struct FirewallArgs {
    /// Keep the port in this set of yours, instead of in a table of the agent's own
    #[arg(long, value_name = "FAMILY TABLE SET")]
    pub(crate) set: Option<SetPath>,
    /// Let this in through the tunnel, such as 22/tcp; give it again for more
    #[arg(long, value_name = "PORT/PROTO")]
    pub(crate) allow_inbound: Vec<Exception>,
    /// The name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// How long an entry in the set outlives the agent
    #[arg(long, value_name = "S", value_parser = value::duration)]
    pub(crate) lease: Option<Duration>,
}

#[derive(Args, Debug, Default)]
pub(crate) struct StatusArgs {
    /// Print JSON, schema teredo.status/1
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PortArgs {
    /// Wait until there is a port, and for the service if it is not there yet
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait, but no longer than this, in seconds; ends with 124
    #[arg(long, value_name = "S", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print JSON, schema teredo.port/1
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct MonitorArgs {
    /// Only these kinds of event [default: all]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_parser = value::event())]
    pub(crate) events: Vec<EventName>,
    /// Print JSON Lines, schema teredo.event/1
    #[arg(long)]
    pub(crate) json: bool,
    /// End after N events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
}

#[derive(Args, Debug)]
pub(crate) struct RebindArgs {
    /// The new local UDP port [default: the system's choice]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddressCommand {
    /// Show what a Teredo address says
    Decode {
        /// The Teredo address
        #[arg(value_name = "ADDR")]
        address: Ipv6Addr,
        /// Print JSON, schema teredo.address/1
        #[arg(long)]
        json: bool,
    },
    /// Make a Teredo address
    Encode {
        /// The server's primary IPv4 address
        #[arg(long, value_name = "A")]
        server: Ipv4Addr,
        /// The client's IPv4 address and UDP port, as the server sees them
        #[arg(long, value_name = "A:P")]
        mapped: SocketAddrV4,
        /// The flags, 16 bits in hexadecimal
        #[arg(long, value_name = "HEX", default_value = "0", value_parser = value::flags)]
        flags: u16,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A number (21, 0xC00000A3) or a name (ERROR_NOT_READY, not_ready, mapping_mismatch)
    #[arg(value_name = "CODE")]
    pub(crate) code: String,
}

#[derive(Args, Debug)]
pub(crate) struct LabArgs {
    /// The NAT in front of the client
    #[arg(long, value_name = "KIND", default_value_t, value_parser = value::nat())]
    pub(crate) nat: NatKind,
    /// Open a shell on the client's host when everything runs
    #[arg(long)]
    pub(crate) shell: bool,
    /// Print JSON Lines, schema teredo.lab/1
    #[arg(long, conflicts_with = "shell")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file and the files in FILE.d
    Check {
        /// The file [default: --config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Print a line with a new secret, for the files of client and server
    New {
        /// The client's name, the identifier of RFC 4380 §5.2.2
        #[arg(value_name = "NAME", value_parser = value::identifier)]
        name: String,
    },
}

#[cfg(test)]
mod tests;
