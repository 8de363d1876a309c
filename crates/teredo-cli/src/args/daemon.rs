//! The options of the daemons. Each key of the configuration has one, which wins over the files.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use teredo::Prefix;
use teredo::client::NatTraversal;
use teredo_firewall::{Backend, Exception, SetPath};
use teredo_fleet::{Grant, HostKey, Urls};
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use super::{FIREWALL_NOTES, PUBLISH_NOTES, SIGNALS, value};

#[derive(Args, Clone, Debug, Default)]
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
    /// Add an IPv6 default route; without it, only Teredo nodes are reachable [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) default_route: Option<bool>,
    /// The same as --default-route=false
    #[arg(long, conflicts_with = "default_route")]
    pub(crate) no_default_route: bool,
    /// Allow RFC 1918 addresses (for labs)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) allow_private: Option<bool>,
    /// IPv4 network to exchange no packets with; repeat for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Qualify securely (RFC 4380 §5.2.2) with the secrets in this file. Each line is 'NAME:SECRET', as printed by
    /// 'teredo secret new', or 'NAME:SECRET SERVER' for one server only
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Close the inside of the tunnel before it is up, and do not start without that; 'teredo firewall' opens ports
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) protect: Option<bool>,
    /// Look for other clients on the local link, and answer them [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) local_discovery: Option<bool>,
    /// The same as --local-discovery=false
    #[arg(long, conflicts_with = "local_discovery")]
    pub(crate) no_local_discovery: bool,
    /// Seconds within which the server hears from the client, which keeps the NAT open and notices a dead server
    /// [default: 8; 30 with --determine-refresh]
    #[arg(long, value_name = "S", value_parser = value::refresh_interval)]
    pub(crate) refresh_interval: Option<Duration>,
    /// Search for the longest refresh interval that the NAT allows, which uses a second UDP port for some minutes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) determine_refresh: Option<bool>,
    /// How to get through NATs: rfc6081; rfc4380, without an address behind a symmetric NAT; or eager, sooner and through more NATs for more datagrams [default: rfc6081]
    #[arg(long, value_name = "WAY", value_parser = value::nat_traversal())]
    pub(crate) nat_traversal: Option<NatTraversal>,
    /// Ask the router for the port by PCP, NAT-PMP or UPnP, so that what new peers send comes in (RFC 6081 §5.3)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) igd: Option<bool>,
    /// What to do if the host has native IPv6 [default: dormant]
    #[arg(long, value_name = "WHAT")]
    pub(crate) native_ipv6: Option<NativePolicy>,
    /// Use kernel offloads (GSO/GRO): auto, or off to rule them out as the cause of a fault [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true,
        value_parser = value::offload()
    )]
    pub(crate) offload: Option<Offload>,
    /// Which path packets of known peers take: kernel (eBPF), user, or auto: the kernel's if it can be had [default: auto]
    #[arg(
        long,
        value_name = "PATH",
        env = "TEREDO_DATA_PATH",
        hide_env_values = true,
        value_parser = value::data_path()
    )]
    pub(crate) data_path: Option<DataPathChoice>,
    /// Serve metrics at http://ADDR:PORT/metrics, for Prometheus; a port alone means 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDR:PORT", value_parser = value::metrics)]
    pub(crate) metrics: Option<SocketAddr>,
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
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) allow_private: Option<bool>,
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
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) allow_plain: Option<bool>,
    /// Number of threads, each with a socket on every address [default: one per core]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Packets per second to one destination, forwarded or as echo replies; 0: no limit [default: 256]
    #[arg(long, value_name = "N", value_parser = value::rate)]
    pub(crate) relay_rate: Option<u32>,
    /// The same in total; 0: no limit [default: no limit]
    #[arg(long, value_name = "N", value_parser = value::rate)]
    pub(crate) relay_total: Option<u32>,
    /// Router advertisements per second to one address; 0: no limit [default: 10000]
    #[arg(long, value_name = "N", value_parser = value::rate)]
    pub(crate) advertisement_rate: Option<u32>,
    /// Who answers solicitations: kernel (eBPF at the interface), user, or auto: the kernel if it can [default: auto]
    #[arg(
        long,
        value_name = "PATH",
        env = "TEREDO_DATA_PATH",
        hide_env_values = true,
        value_parser = value::data_path()
    )]
    pub(crate) data_path: Option<DataPathChoice>,
    /// Serve metrics at http://ADDR:PORT/metrics, for Prometheus; a port alone means 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDR:PORT", value_parser = value::metrics)]
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RelayArgs {
    /// Local IPv4 address to send from; optional with --host
    #[arg(long, value_name = "A")]
    pub(crate) address: Option<Ipv4Addr>,
    /// Local UDP port; clients keep using it across restarts [default: 3545]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Serve this host alone
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) host: Option<bool>,
    /// IPv6 network that clients may reach; repeat for more. A special-purpose network, such as that of a NAT64, must be
    /// named [default: the IPv6 Internet]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) serve: Vec<Prefix>,
    /// IPv4 network to exchange no packets with; repeat for more
    #[arg(long, value_name = "NET/LEN", value_parser = value::network)]
    pub(crate) deny: Vec<(Ipv4Addr, u8)>,
    /// Also send bubbles directly to clients, for a relay behind a NAT [default: if the address is private]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) direct_bubbles: Option<bool>,
    /// Number of threads, each with its own share of the clients [default: one per core, at most 8; one with --host]
    #[arg(long, value_name = "N", value_parser = value::workers)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Name of the tunnel interface [default: teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    /// Close this host to what comes out of the tunnel before it is up, and do not start without that
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) protect: Option<bool>,
    /// Allow RFC 1918 addresses (for labs)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) allow_private: Option<bool>,
    /// Use kernel offloads (GSO/GRO): auto, or off to rule them out as the cause of a fault [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "TEREDO_OFFLOAD",
        hide_env_values = true,
        value_parser = value::offload()
    )]
    pub(crate) offload: Option<Offload>,
    /// Which path packets of known peers take: kernel (eBPF), user, or auto: the kernel's if it can be had [default: auto]
    #[arg(
        long,
        value_name = "PATH",
        env = "TEREDO_DATA_PATH",
        hide_env_values = true,
        value_parser = value::data_path()
    )]
    pub(crate) data_path: Option<DataPathChoice>,
    /// Serve metrics at http://ADDR:PORT/metrics, for Prometheus; a port alone means 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDR:PORT", value_parser = value::metrics)]
    pub(crate) metrics: Option<SocketAddr>,
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
    /// The firewall that must let the port through, too: auto, nftables (none), firewalld or ufw; --set comes first
    /// [default: auto]
    #[arg(long, value_name = "NAME", value_parser = value::backend())]
    pub(crate) backend: Option<Backend>,
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
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) close_relay_forward: Option<bool>,
    /// Serve metrics at http://ADDR:PORT/metrics, for Prometheus; a port alone means 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDR:PORT", value_parser = value::metrics)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Remove the table 'inet teredo', which opens the inside of every tunnel, and exit
    #[arg(long, conflicts_with_all = ["set", "backend", "allow_inbound", "interface", "lease", "follow", "close_relay_forward", "metrics", "fleet"])]
    pub(crate) remove: bool,
    /// Follow the hosts of a fleet instead, whose ports these NATS servers have, in a set of 'ipv4_addr . inet_service'
    #[arg(
        long,
        value_name = "URL,...",
        value_parser = value::FleetServers,
        requires = "set",
        help_heading = "Options of a perimeter"
    )]
    #[arg(conflicts_with_all = ["backend", "allow_inbound", "interface", "lease", "follow", "close_relay_forward"])]
    pub(crate) fleet: Option<Urls>,
    #[command(flatten)]
    pub(crate) servers: ServersArgs,
    /// Also hold the mapped endpoint of each host, as the world sees it
    #[arg(long, requires = "fleet", help_heading = "Options of a perimeter")]
    pub(crate) mapped: bool,
    /// Name by which hosts wait for this perimeter [default: the name of this host]
    #[arg(
        long,
        value_name = "KEY",
        requires = "fleet",
        help_heading = "Options of a perimeter"
    )]
    pub(crate) name: Option<HostKey>,
    /// Addresses that hosts may name, or that one host may name; repeat for more [default: any]
    #[arg(
        long = "network",
        value_name = "[HOST=]NET/LEN",
        requires = "fleet",
        help_heading = "Options of a perimeter"
    )]
    pub(crate) networks: Vec<Grant>,
}

/// The right to use the servers of a fleet.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServersArgs {
    /// Credentials for the NATS servers, or the seed of an nkey, as 'teredo publish nats-config' writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// Certificates of the authority of the NATS servers, in PEM; with it the connection is encrypted [default: those of
    /// the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(args_conflicts_with_subcommands = true, after_help = PUBLISH_NOTES)]
pub(crate) struct PublishArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PublishCommand>,
    /// NATS servers of the fleet, such as tls://nats-1.example,tls://nats-2.example
    #[arg(long, value_name = "URL,...", value_parser = value::FleetServers)]
    pub(crate) nats: Option<Urls>,
    #[command(flatten)]
    pub(crate) servers: ServersArgs,
    /// Time until the entry counts for nothing if this host does not renew it; a new bucket keeps entries for so long
    /// [default: that of the bucket, and 15 seconds for a new one]
    #[arg(long, value_name = "S", value_parser = value::lease)]
    pub(crate) lease: Option<Duration>,
    /// Key of this host in the bucket [default: its name, with '_' for each dot]
    #[arg(long, value_name = "KEY")]
    pub(crate) host: Option<HostKey>,
    /// Wait until this perimeter has confirmed a port before it is used, at most 250 ms; repeat for more
    #[arg(long = "perimeter", value_name = "KEY")]
    pub(crate) perimeters: Vec<HostKey>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PublishCommand {
    /// Write the part of nats-server.conf with the users of a fleet, and a key for each of them
    NatsConfig(NatsConfigArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct NatsConfigArgs {
    /// Host that publishes; repeat for more
    #[arg(long = "host", value_name = "KEY")]
    pub(crate) hosts: Vec<HostKey>,
    /// Perimeter that follows and confirms; repeat for more
    #[arg(long = "perimeter", value_name = "KEY")]
    pub(crate) perimeters: Vec<HostKey>,
    /// Program that only reads the bucket; repeat for more
    #[arg(long = "reader", value_name = "KEY")]
    pub(crate) readers: Vec<HostKey>,
    /// Folder for teredo-fleet.conf and the keys, KEY.nk; a key that is there is used again
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}
