//! The options of `teredo announce`.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use teredo_tunnel::net::Network;

use super::value;

pub(super) const ANNOUNCE_NOTES: &str = "\
A routing daemon on this host announces what it finds in the table; docs/anycast.md has the configuration of BIRD. The \
routes have the metric 100 while the node answers, and 200 while 3 of 10 answers are late or lost, until 10 in a row are \
good. After 3 lost answers, or one refusal, there are none, and none when this process ends, however it ends.

It reads the section of the node in the configuration, so that both have the same addresses.

Signals:
  SIGTERM  remove the routes, and end after --drain; a second one ends at once
  SIGUSR1  print the state on standard error";

/// A node of this host.
#[derive(Debug, Subcommand)]
pub(crate) enum AnnounceCommand {
    /// Announce a relay: 2001::/32
    #[command(after_help = ANNOUNCE_NOTES)]
    Relay(AnnounceRelayArgs),
    /// Announce a server: its two addresses
    #[command(after_help = ANNOUNCE_NOTES)]
    Server(AnnounceServerArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AnnounceRelayArgs {
    /// IPv4 address of the relay [default: that of the configuration]
    #[arg(long, value_name = "A")]
    pub(crate) address: Option<Ipv4Addr>,
    /// UDP port of the relay [default: that of the configuration, or 3545]
    #[arg(long, value_name = "N", value_parser = value::port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Tunnel interface of the relay [default: that of the configuration, or teredo]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) interface: Option<String>,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    #[command(flatten)]
    pub(crate) routes: RouteOptions,
}

#[derive(Args, Debug)]
pub(crate) struct AnnounceServerArgs {
    /// Primary IPv4 address of the server [default: that of the configuration]
    #[arg(long, value_name = "A")]
    pub(crate) address: Option<Ipv4Addr>,
    /// Secondary IPv4 address [default: that of the configuration, or the next one]
    #[arg(long, value_name = "B")]
    pub(crate) secondary: Option<Ipv4Addr>,
    /// The server's secrets, the first of which the probe proves [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    #[command(flatten)]
    pub(crate) routes: RouteOptions,
}

/// How the node is asked.
#[derive(Args, Debug)]
pub(crate) struct ProbeOptions {
    /// Local IPv4 address to ask from [default: that of the relay; for a server, the system chooses]
    #[arg(long, value_name = "A")]
    pub(crate) from: Option<Ipv4Addr>,
    /// Ask the node every so many seconds; an answer that is not there by then is lost
    #[arg(long, value_name = "S", value_parser = value::period, default_value = "1")]
    pub(crate) every: Duration,
    /// An answer after this many seconds is late
    #[arg(long, value_name = "S", value_parser = value::duration, default_value = "0.1")]
    pub(crate) late: Duration,
}

/// The routes that are announced.
#[derive(Args, Debug)]
pub(crate) struct RouteOptions {
    /// Network to announce; repeat for more [default: 2001::/32; of a server, its two addresses]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) route: Vec<Network>,
    /// Number of the routing table
    #[arg(long, value_name = "N", default_value_t = teredo_tunnel::net::ANNOUNCED_TABLE, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) table: u32,
    /// Name of the interface that the routes lead through, and end with [default: announce-relay or announce-server]
    #[arg(long, value_name = "NAME", value_parser = value::interface)]
    pub(crate) route_interface: Option<String>,
    /// Seconds between the removal of the routes and the end, in which the node still serves
    #[arg(long, value_name = "S", value_parser = value::duration, default_value = "5")]
    pub(crate) drain: Duration,
}
