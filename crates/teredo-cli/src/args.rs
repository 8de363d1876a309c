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
use teredo_tunnel::offload::Offload;

pub(crate) mod value;

/// The configuration file, which may be absent.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/teredo/teredo.toml";

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    failed
  2    wrong command line
  3    not ready: no port, or the client is not qualified
  4    not permitted
  5    no service answers on the socket
  124  a wait ran out of time";

const SIGNALS: &str = "\
Signals:
  SIGUSR1  print the counters on standard error
  SIGHUP   read settings and secrets again; faulty ones leave the old ones in force";

const FIREWALL_NOTES: &str = "\
The table 'inet teredo' drops what comes unsolicited out of a tunnel. It stays when the agent ends, however it ends; \
--remove removes it. The ports that the agent opened close when it ends, and after the lease if it is killed.

Signals:
  SIGUSR1  print the state on standard error
  SIGHUP   read the settings again; faulty ones leave the old ones in force";

const RELAY_NOTES: &str = "\
A relay is a router. The host must forward IPv6 (sysctl net.ipv6.conf.all.forwarding=1; teredo \
changes no sysctl), and your network must route 2001::/32 to it. If the host also runs a Teredo \
server, give the relay an address that the server does not use.

With --host, the relay serves this host alone. It forwards nothing, and the host talks to Teredo \
clients directly from its own IPv6 addresses.

SIGUSR1 prints the counters on standard error. SIGHUP reloads nothing and ends nothing.";

/// Teredo for Linux: client, server, relay and firewall agent.
///
/// Teredo (RFC 4380) gives IPv4-only hosts behind NATs IPv6 over UDP. The client announces its UDP port, and the
/// firewall agent keeps nftables in step with it. Without a command, teredo prints the status.
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
    /// Socket of the local service [env: TEREDO_SOCKET] [default: /run/teredo/teredo.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Configuration file; the drop-ins FILE.d/*.toml are read after it [default: /etc/teredo/teredo.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log more on standard error (RUST_LOG gives finer control)
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
    /// Run the firewall agent in the foreground, which keeps nftables in step with the port
    Firewall(FirewallArgs),
    /// Show state, port, addresses, NAT, peers and drops
    Status(StatusArgs),
    /// Print the port number and nothing else
    Port(PortArgs),
    /// Print the current state, then each event
    Monitor(MonitorArgs),
    /// Move the client to another port
    Rebind(RebindArgs),
    /// Stop the client; its service keeps running
    Stop,
    /// Start a stopped client
    Start,
    /// Decode and encode Teredo addresses
    #[command(subcommand)]
    Address(AddressCommand),
    /// Explain a status code, an exit code or a drop reason
    Explain(ExplainArgs),
    /// Run the whole system on a private internet of network namespaces
    Lab(LabArgs),
    /// Check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Generate secrets for secure qualification
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Print shell completions
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
    /// Write the manual pages to a directory
    Man {
        /// Existing directory to write to
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// Teredo server, by name or IPv4 address; repeat for more. If its secondary address is not the next one, give both:
    /// PRIMARY,SECONDARY
    #[arg(long = "server", value_name = "HOST", value_parser = value::host)]
    pub(crate) servers: Vec<String>,
    /// Name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// Local IPv4 address to send from [default: chosen by the system]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<Ipv4Addr>,
    /// Local UDP port [default: chosen by the system]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Do not add an IPv6 default route; only Teredo nodes are reachable then
    #[arg(long)]
    pub(crate) no_default_route: bool,
    /// Allow RFC 1918 addresses (for labs)
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// IPv4 network to exchange no packets with; repeat for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Qualify securely (RFC 4380 §5.2.2) with the secrets in this file. Each line is 'NAME:SECRET', as printed by
    /// 'teredo secret new', or 'NAME:SECRET SERVER' for one server only
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Close the inside of the tunnel before it is up, and do not start without that; 'teredo firewall' opens ports
    #[arg(long)]
    pub(crate) protect: bool,
    /// Do not look for other clients on the local link, and do not answer them
    #[arg(long)]
    pub(crate) no_local_discovery: bool,
    /// Seconds within which the server hears from the client, which keeps the NAT open and notices a dead server
    /// [default: 8; 30 with --determine-refresh]
    #[arg(long, value_name = "S", value_parser = value::refresh_interval)]
    pub(crate) refresh_interval: Option<Duration>,
    /// Search for the longest refresh interval that the NAT allows, which uses a second UDP port for some minutes
    #[arg(long)]
    pub(crate) determine_refresh: bool,
    /// What to do if the host has native IPv6 [default: dormant]
    #[arg(long, value_name = "WHAT")]
    pub(crate) native_ipv6: Option<NativePolicy>,
    /// Use kernel offloads (GSO/GRO): auto, or off to rule them out as the cause of a fault [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true
    )]
    pub(crate) offload: Option<Offload>,
    /// The group whose members may control the client and gate [default: teredo, if it exists]
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
}

/// The behaviour of a client on a host with native IPv6 (RFC 4380 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NativePolicy {
    /// Hold no port and no address until native IPv6 is gone
    Dormant,
    /// Run anyway; native addresses and routes take precedence
    Ignore,
}

#[derive(Args, Clone, Debug, Default)]
#[command(after_help = SIGNALS)]
pub(crate) struct ServerArgs {
    /// Primary IPv4 address, the one that clients are configured with; repeat for more pairs
    #[arg(long = "address", value_name = "A")]
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Secondary IPv4 address, one per --address [default: the primary address plus one]
    #[arg(long = "secondary", value_name = "B")]
    pub(crate) secondaries: Vec<Ipv4Addr>,
    /// Allow RFC 1918 addresses (for labs)
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// IPv6 network that packets are forwarded to; repeat for more. A special-purpose network, such as that of a NAT64,
    /// must be named [default: the IPv6 Internet]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 network to exchange no packets with; repeat for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Serve only clients with a secret in this file (RFC 4380 §5.2.2). Each line is 'NAME:SECRET', as printed by
    /// 'teredo secret new', or 'NAME:SECRET retired' to serve the client and ask it to get a new secret
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Also serve clients without a secret
    #[arg(long)]
    pub(crate) allow_plain: bool,
    /// Number of threads, each with a socket on every address [default: one per core]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RelayArgs {
    /// Local IPv4 address to send from; optional with --host
    #[arg(long, value_name = "A")]
    pub(crate) address: Option<Ipv4Addr>,
    /// Local UDP port; clients keep using it across restarts [default: 3545]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Serve this host alone
    #[arg(long, conflicts_with = "serve")]
    pub(crate) host: bool,
    /// IPv6 network that clients may reach; repeat for more. A special-purpose network, such as that of a NAT64, must be
    /// named [default: the IPv6 Internet]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 network to exchange no packets with; repeat for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Also send bubbles directly to clients, for a relay behind a NAT [default: if the address is private]
    #[arg(long)]
    pub(crate) direct_bubbles: bool,
    /// Number of threads, each with its own share of the clients [default: one per core, at most 8; one with --host]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// Close this host to what comes out of the tunnel before it is up, and do not start without that
    #[arg(long)]
    pub(crate) protect: bool,
    /// Allow RFC 1918 addresses (for labs)
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Use kernel offloads (GSO/GRO): auto, or off to rule them out as the cause of a fault [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true
    )]
    pub(crate) offload: Option<Offload>,
    /// The group whose members may control the relay and gate [default: teredo, if it exists]
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(after_help = FIREWALL_NOTES)]
pub(crate) struct FirewallArgs {
    /// Keep the port in this existing nftables set [default: use a separate table, 'inet teredo']
    #[arg(long, value_name = "FAMILY TABLE SET")]
    pub(crate) set: Option<SetPath>,
    /// Allow this port inbound through the tunnel, such as 22/tcp; repeat for more
    #[arg(long, value_name = "PORT/PROTO")]
    pub(crate) allow_inbound: Vec<Exception>,
    /// Name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// Seconds until a set entry expires if the agent dies [default: 15]
    #[arg(long, value_name = "S", value_parser = value::duration)]
    pub(crate) lease: Option<Duration>,
    /// Also follow the client or relay with this socket; repeat for more
    #[arg(long, value_name = "PATH")]
    pub(crate) follow: Vec<PathBuf>,
    /// Also close what a relay forwards out of its tunnel to other hosts
    #[arg(long)]
    pub(crate) close_relay_forward: bool,
    /// Remove the table 'inet teredo', which opens the inside of every tunnel, and exit
    #[arg(long, conflicts_with_all = ["set", "allow_inbound", "interface", "lease", "follow", "close_relay_forward"])]
    pub(crate) remove: bool,
}

#[derive(Args, Debug, Default)]
pub(crate) struct StatusArgs {
    /// Print JSON (schema teredo.status/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PortArgs {
    /// Wait for the service to start and to have a port
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait at most this many seconds, then exit with 124
    #[arg(long, value_name = "S", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print JSON (schema teredo.port/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct MonitorArgs {
    /// Kinds of event to print [default: all]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_parser = value::event())]
    pub(crate) events: Vec<EventName>,
    /// Print JSON Lines (schema teredo.event/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit after N events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
}

#[derive(Args, Debug)]
pub(crate) struct RebindArgs {
    /// New local UDP port [default: chosen by the system]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddressCommand {
    /// Show the parts of a Teredo address
    Decode {
        /// Teredo address
        #[arg(value_name = "ADDR")]
        address: Ipv6Addr,
        /// Print JSON (schema teredo.address/1)
        #[arg(long)]
        json: bool,
    },
    /// Build a Teredo address from its parts
    Encode {
        /// Primary IPv4 address of the server
        #[arg(long, value_name = "A")]
        server: Ipv4Addr,
        /// IPv4 address and UDP port of the client, as seen by the server
        #[arg(long, value_name = "A:P")]
        mapped: SocketAddrV4,
        /// The 16 flag bits, in hexadecimal
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
    /// Kind of NAT in front of the client
    #[arg(long, value_name = "KIND", default_value_t, value_parser = value::nat())]
    pub(crate) nat: NatKind,
    /// Open a shell on the client's host at the end
    #[arg(long)]
    pub(crate) shell: bool,
    /// Print JSON Lines (schema teredo.lab/1)
    #[arg(long, conflicts_with = "shell")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file and its drop-ins, FILE.d/*.toml
    Check {
        /// File to check [default: the file of --config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Print a new secret, as a line for the secret files of the client and the server
    New {
        /// Name of the client (the identifier of RFC 4380 §5.2.2)
        #[arg(value_name = "NAME", value_parser = value::identifier)]
        name: String,
    },
}

#[cfg(test)]
mod tests;
