//! What a client tells its caller.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::ServerAddress;

/// The state that a person sees; the words are those of Windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No service; [`Reason`] says why. Unless stopped, the client will try again by itself.
    #[default]
    Offline,
    /// Qualification is under way.
    Probe,
    /// At rest: the host has IPv6 by other means (RFC 4380 §5.5). It starts when that ends.
    Dormant,
    /// There is a Teredo address and it works.
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
    /// No server address is known (no name resolved yet).
    NoServer,
    /// Neither of the server's addresses answered.
    ServerSilent(Ipv4Addr),
    /// The primary address answered, the secondary one did not (RFC 4380 §5.2.1: not usable).
    SecondarySilent(Ipv4Addr),
    /// The secondary address answered, the primary one did not.
    PrimarySilent(Ipv4Addr),
    /// Neither of the server's addresses answered a solicitation with an identifier and a secret. A server that
    /// knows another secret is as silent as one that is not there (RFC 4380 §5.3.1).
    ServerSilentToSecret(Ipv4Addr),
    /// The server answers, but not with the shared secret (RFC 4380 §5.2.2).
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
    /// The host has IPv6 by other means, with this address (RFC 4380 §5.5).
    NativeIpv6(Ipv6Addr),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::NoServer => f.write_str("no server address is known"),
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
                    "no answer from the server's secondary address {server} over UDP port 3544"
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

/// What is known of the NAT. Without the cone phase (RFC 5991 §3.2) a cone NAT is not told from a restricted one.
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

/// What happened.
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
    /// A server says whether the client's key for it is still valid, and said otherwise before (RFC 4380 §5.2.2).
    KeyValidity {
        /// The server's primary address.
        server: Ipv4Addr,
        /// `false`: a new key should be obtained.
        valid: bool,
    },
    /// There is an address to put on the interface. A later `AddressUp` replaces an earlier one.
    AddressUp {
        /// The Teredo address.
        address: Ipv6Addr,
        /// The mapping behind it.
        mapped: SocketAddrV4,
        /// The server that it was made with.
        server: ServerAddress,
        /// The link MTU to set, in bytes: 1280 (RFC 4380 §5.1.2).
        mtu: u32,
    },
    /// The secondary port (RFC 4380 §5.2.7) is to be opened, on any UDP port, or closed. When it is open, or cannot
    /// be had, [`Client::secondary_port`](super::Client::secondary_port) takes the answer. It is announced to nobody.
    SecondaryPort {
        /// Open it, or close it.
        wanted: bool,
    },
    /// The address is no longer valid: take it off the interface.
    AddressDown {
        /// The Teredo address that was in use.
        address: Ipv6Addr,
    },
}

/// Everything a person asks of a client, at one moment.
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
    /// How the NAT shows the service port to the server.
    pub mapped: Option<SocketAddrV4>,
    /// The NAT.
    pub nat: Nat,
    /// Whether the server in use says that the client's key is no longer valid (RFC 4380 §5.2.2).
    pub key_retired: bool,
    /// The refresh interval in force.
    pub refresh_interval: std::time::Duration,
    /// Peers remembered.
    pub peers: usize,
    /// Of these, the ones with a verified path.
    pub trusted_peers: usize,
    /// Clients on the link that local discovery has found.
    pub neighbours: usize,
}
