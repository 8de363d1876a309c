//! Events and status of a client.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::ServerAddress;

/// The visible state; Windows uses the same words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No service, for the given [`Reason`]. Unless stopped, the client tries again by itself.
    #[default]
    Offline,
    /// Qualification is under way.
    Probe,
    /// Inactive because the host has native IPv6 (RFC 4380 §5.5). The client starts when that ends.
    Dormant,
    /// The client has a working Teredo address.
    Qualified,
}

impl State {
    /// The state's name in status and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Probe => "probe",
            Self::Dormant => "dormant",
            Self::Qualified => "qualified",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a client is not qualified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was not started, or it was stopped.
    Stopped,
    /// No server address is known; no name was resolved yet.
    NoServer,
    /// The only servers have addresses to which nothing may be sent, such as this one
    /// ([`DestinationPolicy`](crate::policy::DestinationPolicy)).
    ServerRefused(Ipv4Addr),
    /// The only servers have addresses that the operator's own list refuses, such as this one
    /// ([`DestinationPolicy::deny`](crate::policy::DestinationPolicy::deny)).
    ServerDenied(Ipv4Addr),
    /// The server answers, but calls itself by another address: it was named by its secondary one.
    NotPrimary {
        /// The address that was taken for the primary one.
        asked: Ipv4Addr,
        /// The primary address, by the server's own account.
        primary: Ipv4Addr,
    },
    /// Neither of the server's addresses answered.
    ServerSilent(Ipv4Addr),
    /// The primary address answered, the secondary one did not (RFC 4380 §5.2.1: not usable).
    SecondarySilent(Ipv4Addr),
    /// The secondary address answered, the primary one did not.
    PrimarySilent(Ipv4Addr),
    /// Neither of the server's addresses answered a solicitation with an identifier and a secret. A server with another
    /// secret does not answer at all (RFC 4380 §5.3.1).
    ServerSilentToSecret(Ipv4Addr),
    /// The server answers without the shared secret (RFC 4380 §5.2.2).
    Unauthenticated(Ipv4Addr),
    /// The NAT gives every destination another mapping (RFC 4380 §5.2.1).
    SymmetricNat {
        /// The mapping towards the primary address.
        primary: SocketAddrV4,
        /// The mapping towards the secondary address.
        secondary: SocketAddrV4,
    },
    /// The server stopped answering a qualified client.
    ServerLost(Ipv4Addr),
    /// The local address, route or port changed.
    NetworkChanged,
    /// The NAT gave the service port another mapping (RFC 4380 §5.2.5).
    MappingChanged(SocketAddrV4),
    /// The host has native IPv6, with this address (RFC 4380 §5.5).
    NativeIpv6(Ipv6Addr),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::NoServer => f.write_str("no server address is known"),
            Self::ServerRefused(address) => {
                write!(f, "{address} cannot be a server: ")?;
                f.write_str(if address.is_private() {
                    "it is a private address"
                } else {
                    "it is not an address of the Internet"
                })
            }
            Self::ServerDenied(address) => {
                write!(
                    f,
                    "the server's address {address} is in a network that 'deny' refuses"
                )
            }
            Self::NotPrimary { asked, primary } => {
                write!(
                    f,
                    "{asked} is the secondary address of server {primary}: use its primary address, {primary}"
                )
            }
            Self::ServerSilent(server) => {
                write!(f, "no answer from server {server} over UDP port 3544")
            }
            Self::ServerSilentToSecret(server) => {
                write!(
                    f,
                    "no answer from server {server} over UDP port 3544: it is not there, or it does not know our \
                     identifier with our secret"
                )
            }
            Self::Unauthenticated(server) => {
                write!(
                    f,
                    "server {server} answers without a valid authentication: it does not have our secret"
                )
            }
            Self::SecondarySilent(server) => {
                write!(
                    f,
                    "no answer from the server's secondary address {server} over UDP port 3544; if it has another one, \
                     name both: PRIMARY,SECONDARY"
                )
            }
            Self::PrimarySilent(server) => {
                write!(
                    f,
                    "no answer from the server's primary address {server} over UDP port 3544"
                )
            }
            Self::SymmetricNat { primary, secondary } => {
                write!(
                    f,
                    "symmetric NAT: mapped to {primary} towards the primary address, to {secondary} towards the secondary one"
                )
            }
            Self::ServerLost(server) => write!(f, "server {server} no longer answers"),
            Self::NetworkChanged => f.write_str("the local address or port changed"),
            Self::MappingChanged(mapped) => {
                write!(f, "the NAT maps the service port to {mapped} now")
            }
            Self::NativeIpv6(address) => write!(f, "the host has native IPv6: {address}"),
        }
    }
}

/// The kind of NAT. Without the cone phase (RFC 5991 §3.2), a cone NAT looks like a restricted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// Not known yet.
    #[default]
    Unknown,
    /// The mapped address is the local one.
    None,
    /// One mapping for all destinations.
    Restricted,
    /// Another mapping for each destination.
    Symmetric,
}

impl Nat {
    /// The kind's name in status and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Restricted => "restricted",
            Self::Symmetric => "symmetric",
        }
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that the caller has to know or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state or its reason changed.
    StateChanged {
        /// The new state.
        state: State,
        /// Why it is not qualified; `None` when it is.
        reason: Option<Reason>,
    },
    /// A server changed its verdict on the client's key (RFC 4380 §5.2.2).
    KeyValidity {
        /// The server's primary address.
        server: Ipv4Addr,
        /// Whether the key is valid; if not, obtain a new one.
        valid: bool,
    },
    /// Put this address on the interface. A later `AddressUp` replaces it.
    AddressUp {
        /// The Teredo address.
        address: Ipv6Addr,
        /// The mapping in the address.
        mapped: SocketAddrV4,
        /// The server in the address.
        server: ServerAddress,
        /// The link MTU to set, in bytes: 1280 (RFC 4380 §5.1.2).
        mtu: u32,
    },
    /// Open the secondary port (RFC 4380 §5.2.7), any UDP port, or close it. If it is wanted, report the result with
    /// [`Client::secondary_port`](super::Client::secondary_port). The port is not announced to subscribers.
    SecondaryPort {
        /// Open it, or close it.
        wanted: bool,
    },
    /// Open a random port for one peer, this one, or close it (RFC 6081 §5.4). If it is wanted, report the result with
    /// [`Client::random_port`](super::Client::random_port), once the firewall admits datagrams to the port; then pass
    /// what it receives to [`Client::handle_random`](super::Client::handle_random). There are at most
    /// [`RANDOM_PORTS`](super::RANDOM_PORTS). They are not announced to subscribers.
    RandomPort {
        /// The local port.
        port: u16,
        /// Open it, or close it.
        wanted: bool,
    },
    /// Open up to [`PORT_BLOCK`](super::PORT_BLOCK) random ports at once, any of
    /// [`RANDOM_PORT_RANGE`](super::RANDOM_PORT_RANGE), and report them with
    /// [`Client::port_block`](super::Client::port_block), once the firewall admits datagrams to them; then pass what they
    /// receive to [`Client::handle_random`](super::Client::handle_random). There is one block at a time.
    OpenPortBlock,
    /// Close the ports of the block.
    ClosePortBlock {
        /// Keep this one. It is a random port from now on, until [`Event::RandomPort`] wants it closed.
        keep: Option<u16>,
    },
    /// Remove this address from the interface; it is no longer valid.
    AddressDown {
        /// The Teredo address that was in use.
        address: Ipv6Addr,
    },
}

/// The status of a client at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why it is not qualified.
    pub reason: Option<Reason>,
    /// The Teredo address.
    pub address: Option<Ipv6Addr>,
    /// The server in use, or being asked.
    pub server: Option<ServerAddress>,
    /// The service port's local address.
    pub local: Option<SocketAddrV4>,
    /// The service port's mapping, as the server sees it.
    pub mapped: Option<SocketAddrV4>,
    /// The kind of NAT.
    pub nat: Nat,
    /// Whether the server in use declared the client's key invalid (RFC 4380 §5.2.2).
    pub key_retired: bool,
    /// The refresh interval in force.
    pub refresh_interval: std::time::Duration,
    /// Peers in the list.
    pub peers: usize,
    /// Those of them with a verified path.
    pub trusted_peers: usize,
    /// How often a block of ports was opened for a peer that could not be reached otherwise.
    pub port_blocks: u64,
    /// How many bursts of bubbles looked for such a block.
    pub bubble_bursts: u64,
    /// Clients that local discovery found on the link.
    pub neighbours: usize,
}
