//! The command line.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use teredo::client::NatTraversal;
use teredo_lab::HomeNat;
use teredo_notify::types::EventName;
use teredo_tunnel::kernel::DataPathChoice;

use crate::hooks::ChangeKind;
use crate::logging::Addresses;

pub(crate) use announce::{AnnounceCommand, AnnounceRelayArgs, AnnounceServerArgs, RouteOptions};
pub(crate) use daemon::{
    ClientArgs, FirewallArgs, NativePolicy, NatsConfigArgs, PublishArgs, PublishCommand, RelayArgs,
    ServerArgs, ServersArgs,
};

mod announce;
mod daemon;
pub(crate) mod value;
pub(crate) mod variables;

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
  78   faulty settings, said to a service manager
  124  a wait ran out of time";

const SIGNALS: &str = "\
Signals:
  SIGUSR1  print the counters on standard error
  SIGHUP   read settings and secrets again; faulty ones leave the old ones in force";

const FIREWALL_NOTES: &str = "\
The table 'inet teredo' drops what comes unsolicited out of a tunnel. It stays when the agent ends, however it ends; \
--remove removes it. The ports that the agent opened close when it ends, and after the lease if it is killed.

With --fleet, the agent follows the hosts of a fleet instead, on a firewall at the perimeter: 'teredo publish' on each \
host tells the ports. The set is declared as '{ type ipv4_addr . inet_service; flags timeout; }'; the agent touches no \
table and no element of others.

If firewalld is active, the agent asks it to open the port, too, at run time. If ufw is, the agent says which commands an \
administrator types once so that ufw passes the port.

Signals:
  SIGUSR1  print the state on standard error
  SIGHUP   read the settings again; faulty ones leave the old ones in force";

const PUBLISH_NOTES: &str = "\
The bucket 'teredo_ports' of NATS JetStream has a key for each host, whose value is JSON (schema teredo.port/1). It is \
created if it does not exist and the credentials permit that. The entry ends with this process: at once if the process ends, \
and with the lease if it is killed or cut off.

Firewalls at the perimeter follow the bucket with 'teredo firewall --fleet'.

Signals:
  SIGUSR1  print the state on standard error";

const RELAY_NOTES: &str = "\
A relay is a router. The host must forward IPv6 (sysctl net.ipv6.conf.all.forwarding=1; teredo \
changes no sysctl), and your network must route 2001::/32 to it. If the host also runs a Teredo \
server, give the relay an address that the server does not use.

With --host, the relay serves this host alone. It forwards nothing, and the host talks to Teredo \
clients directly from its own IPv6 addresses.

Signals:
  SIGUSR1  print the counters on standard error
  SIGHUP   read the settings again; faulty ones leave the old ones in force";

const PROBE_NOTES: &str = "\
It needs no privilege and no service, and takes two seconds at most. Exit status: 0 if a client would qualify, 3 if not, \
1 if nothing answers. 'teredo explain server.silent' explains a finding.";

const TRACE_NOTES: &str = "\
It reads pcap and pcapng files of Ethernet, raw IP and Linux cooked captures, of any Teredo implementation. A datagram is \
Teredo if the addresses in it are Teredo's and agree with UDP port 3544 or with the addresses around it, or if it is between \
nodes that such datagrams show; everything else is counted. Findings have the numbers of the requirements in docs/conformance.md, such as R4380-5.2.2-02.

'tcpdump -i any -w FILE udp' captures what it needs, and 'tcpdump -U -w - udp | teredo trace -' reads it until \
Ctrl-C.";

const LAB_NOTES: &str = "\
Instead of a kind, --nat and --peer-nat take properties of RFC 4787, with commas between. Those that are not named are those \
of port-restricted:
  mapping    endpoint-independent-mapping, address-dependent-mapping,
             address-and-port-dependent-mapping
  filtering  endpoint-independent-filtering, address-dependent-filtering,
             address-and-port-dependent-filtering
  ports      port-preservation, port-overloading, sequential-ports, sequential-ports-by-two,
             random-ports
  others     port-parity, hairpinning, open-input

'teredo explain NAME' explains a kind or a property.";

const METRICS_NOTES: &str = "\
A daemon serves the same to Prometheus if it has --metrics ADDR:PORT, or the key 'metrics'. The firewall agent has no \
service: its metrics are there alone.";

const HOOKS_NOTES: &str = "\
Programs: as run-parts(8) runs them, in the order of their names, one after the other. A name consists of letters, \
digits, '_' and '-'. The program, its folder and the folders above belong to root or to the user of this process, and \
only their owner may write to them. A program that fails or runs too long is logged, and the next one runs. When it \
ends, everything that it started ends, too. Only kill -9 of this process leaves some behind, unless a unit ends them.

Changes: the first state counts as one. While programs run, only the newest state waits, so that the last run always \
has the last state. A service that is gone means port 0, no address and the state 'offline'.

Variables: the environment has these, PATH, HOME, LANG and TZ, and of a unit STATE_DIRECTORY, CACHE_DIRECTORY, \
RUNTIME_DIRECTORY and CREDENTIALS_DIRECTORY; nothing else. A variable without a value is empty.
  TEREDO_EVENT        the change: port, address, state
  TEREDO_FIRST        1 in the first run for this kind of change, else 0
  TEREDO_PORT         UDP port; 0: none
  TEREDO_OLD_PORT     the port at the last run for the same kind of change; 0: none
  TEREDO_ADDRESS      Teredo address
  TEREDO_OLD_ADDRESS  the address at the last run for the same kind of change
  TEREDO_MAPPED       the NAT's mapping, ADDRESS:PORT
  TEREDO_LOCAL        local end of the UDP socket, ADDRESS:PORT
  TEREDO_INTERFACE    tunnel interface
  TEREDO_STATE        qualified, probe, dormant or offline
  TEREDO_REASON       why it is not qualified
  TEREDO_NAT          kind of NAT
  TEREDO_SERVER       server as it is configured
  TEREDO_ROLE         client or relay
  TEREDO_SEQUENCE     number of the port's state; it grows with each change of the port
  TEREDO_SOCKET       socket of the service that is followed

Input is /dev/null. Output goes to the log under the name of the program, 64 KiB of each run.";

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
    /// Whether the log shows IP addresses, or a name of this run for each; the addresses of the settings stay
    #[arg(
        long,
        global = true,
        value_name = "ON|OFF",
        env = "TEREDO_LOG_ADDRESSES",
        hide_env_values = true
    )]
    #[arg(default_value = "on", hide_possible_values = true)]
    pub(crate) log_addresses: Addresses,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a client in the foreground
    #[command(after_help = SIGNALS)]
    Client(ClientArgs),
    /// Run a server in the foreground, on UDP port 3544 of two addresses
    Server(ServerArgs),
    /// Run a relay in the foreground, between Teredo clients and the IPv6 Internet
    #[command(after_help = RELAY_NOTES)]
    Relay(RelayArgs),
    /// Run the firewall agent in the foreground, which keeps nftables in step with the port
    Firewall(FirewallArgs),
    /// Publish this host's port to the firewalls at the perimeter, by NATS
    Publish(PublishArgs),
    /// Hold the routes to a relay or a server while it serves, for a routing daemon to announce
    #[command(subcommand)]
    Announce(AnnounceCommand),
    /// Run programs of a folder when the port or the address changes
    #[command(after_help = HOOKS_NOTES)]
    Hooks(HooksArgs),
    /// Show state, port, addresses, NAT, peers and drops
    Status(StatusArgs),
    /// Find out what is wrong, why, and the command that mends it
    #[command(after_long_help = crate::doctor::checks_help())]
    Doctor(DoctorArgs),
    /// Print the port number and nothing else
    Port(PortArgs),
    /// Watch a node live: port, peers, traffic and drops
    Top(TopArgs),
    /// Print the metrics of the local service in the OpenMetrics format
    #[command(after_help = METRICS_NOTES)]
    Metrics,
    /// Print the current state, then each event
    Monitor(MonitorArgs),
    /// Move the client to another port
    Rebind(RebindArgs),
    /// Stop the client; its service keeps running
    Stop,
    /// Start a stopped client
    Start,
    /// Decode and encode Teredo addresses
    Address(AddressArgs),
    /// Find out what a server answers, and what kind of NAT is on the way
    #[command(after_help = PROBE_NOTES)]
    Probe(ProbeArgs),
    /// Draw the Teredo exchange in a capture file, with what breaks the rules and where it stalls
    #[command(after_help = TRACE_NOTES)]
    Trace(TraceArgs),
    /// Explain a status code, an exit code, a drop reason, a word of the status, a metric, a finding of probe or a check of doctor
    Explain(ExplainArgs),
    /// Run the whole system on a private internet of network namespaces
    #[command(after_help = LAB_NOTES)]
    Lab(LabArgs),
    /// Check and show the configuration, or translate one of miredo
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
        /// Directory to write to; made if it does not exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Args, Debug, Default)]
pub(crate) struct StatusArgs {
    /// Print JSON (schema teredo.status/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// List the peers of a client that were used last, with path, age and traffic; needs root or the service's group
    #[arg(long)]
    pub(crate) peers: bool,
    /// Look again every so many seconds, and show what passes in between [default: 2]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "2", value_name = "SECONDS", value_parser = value::period)]
    pub(crate) watch: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Look again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = value::period, default_value = "1")]
    pub(crate) every: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Print JSON (schema teredo.doctor/1)
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
    /// Exit after N events; with --exec, the command runs N times at most
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// Run a shell command (sh -c) for each event, with the variables of teredo-hooks(1)
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// End the command after this time
    #[arg(long, value_name = "S", value_parser = value::limit, requires = "exec", default_value = "30")]
    pub(crate) exec_timeout: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct HooksArgs {
    /// Folder of the programs
    #[arg(long, value_name = "DIR", default_value = "/etc/teredo/hooks.d")]
    pub(crate) dir: PathBuf,
    /// End a program after this time: SIGTERM, and 2 seconds later SIGKILL
    #[arg(long, value_name = "S", value_parser = value::limit, default_value = "30")]
    pub(crate) timeout: Duration,
    /// Changes to run them for: port, address, state
    #[arg(
        long,
        value_name = "KIND,...",
        value_delimiter = ',',
        default_value = "port,address"
    )]
    #[arg(hide_possible_values = true)]
    pub(crate) events: Vec<ChangeKind>,
}

#[derive(Args, Debug)]
pub(crate) struct RebindArgs {
    /// New local UDP port [default: chosen by the system]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct AddressArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AddressCommand>,
    /// Teredo address to decode
    #[arg(value_name = "ADDR")]
    pub(crate) address: Option<Ipv6Addr>,
    /// Print JSON (schema teredo.address/1)
    #[arg(long)]
    pub(crate) json: bool,
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
pub(crate) struct ProbeArgs {
    /// Teredo server, by name or IPv4 address. If its secondary address is not the next one, give both: PRIMARY,SECONDARY
    #[arg(value_name = "SERVER", value_parser = value::host)]
    pub(crate) server: String,
    /// Print JSON (schema teredo.probe/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// Also measure how long the NAT keeps a mapping without traffic; takes five minutes at most
    #[arg(long)]
    pub(crate) lifetime: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    /// Capture file, pcap or pcapng; '-' for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the ladder diagram as an SVG picture, too; '-' for standard output, and then nothing else
    #[arg(long, value_name = "OUT")]
    pub(crate) svg: Option<PathBuf>,
    /// Print JSON (schema teredo.trace/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A number (21, 0xC00000A3) or a name (ERROR_NOT_READY, not_ready, mapping_mismatch, dormant, server.silent,
    /// firewall.shadowed, R4380-5.2.2-03, port-restricted)
    #[arg(value_name = "CODE")]
    pub(crate) code: String,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LabCommand>,
    /// Kind of NAT in front of the client, or properties of RFC 4787 with commas between, such as
    /// address-dependent-mapping,endpoint-independent-filtering,random-ports,hairpinning
    #[arg(long, value_name = "KIND", default_value_t, value_parser = value::nat())]
    pub(crate) nat: HomeNat,
    /// Kind of NAT in front of the other client [default: port-restricted; restricted if the first one is symmetric]
    #[arg(long, value_name = "KIND", value_parser = value::nat())]
    pub(crate) peer_nat: Option<HomeNat>,
    /// How both clients get through NATs [default: rfc6081]
    #[arg(long, value_name = "WAY", value_parser = value::nat_traversal())]
    pub(crate) nat_traversal: Option<NatTraversal>,
    /// Which path packets of known peers take, and who answers solicitations: kernel, user or auto [default: auto]
    #[arg(
        long,
        value_name = "PATH",
        env = "TEREDO_DATA_PATH",
        hide_env_values = true,
        value_parser = value::data_path()
    )]
    pub(crate) data_path: Option<DataPathChoice>,
    /// Draw the exchange of Teredo packets, with those that a NAT dropped, into this file (SVG)
    #[arg(long, value_name = "FILE", value_parser = value::picture)]
    pub(crate) diagram: Option<PathBuf>,
    /// Open a shell on the client's host at the end, or after a step that failed
    #[arg(long)]
    pub(crate) shell: bool,
    /// Print JSON Lines (schema teredo.lab/1)
    #[arg(long, conflicts_with = "shell")]
    pub(crate) json: bool,
}

/// A laboratory of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Two relays and two servers behind BIRD: kill them, drain them, overload them (needs Debian's package bird2)
    Anycast(AnycastArgs),
    /// Two firewalls at a perimeter that follow 20 hosts by a cluster of NATS: kill each part, and cut the network in two
    /// (needs Debian's packages nats-server and openssl)
    Fleet(FleetLabArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AnycastArgs {
    /// Print JSON Lines (schema teredo.lab/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FleetLabArgs {
    /// Kill and cut so many parts at random, up to four at a time, instead of the story; 1000 take 25 minutes
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) kills: Option<u32>,
    /// Repeat the kills of a run that printed this seed
    #[arg(long, value_name = "NUMBER", requires = "kills")]
    pub(crate) seed: Option<u64>,
    /// Print JSON Lines (schema teredo.lab/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Find every mistake in a configuration file, in its drop-ins, FILE.d/*.toml, and in the files of secrets
    Check {
        /// File to check [default: the file of --config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show each setting, and the file and line, or the variable of the environment, that set it
    Show {
        /// Show the settings of one daemon [default: all]
        #[arg(value_name = "DAEMON")]
        role: Option<Role>,
        /// Print JSON (schema teredo.config/1)
        #[arg(long)]
        json: bool,
    },
    /// Translate a miredo.conf or a miredo-server.conf; what has no translation is named on standard error
    ImportMiredo {
        /// File to translate
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// A daemon, and the section of the configuration with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// 'teredo client'
    Client,
    /// 'teredo server'
    Server,
    /// 'teredo relay'
    Relay,
    /// 'teredo firewall'
    Firewall,
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
