//! Kinds of NAT, in the terms of RFC 4787.

mod properties;

use std::fmt;
use std::str::FromStr;

use teredo_nat::NatBehaviour;

pub use self::properties::{HomeNat, HomeNatError};

/// The treatment of UDP by a home router, in the terms of RFC 4787: *mapping* (§4.1) decides the external
/// port from which a datagram leaves, *filtering* (§5) decides which datagrams from outside come in. The names in
/// brackets are the older ones of RFC 3489, which RFC 4380 uses.
///
/// Two hosts of a home that send from the same port to the same destination get different external
/// ports. For different destinations, two hosts may share one. [`Cone`](Self::Cone) and
/// [`Restricted`](Self::Restricted) then deliver to the host that used the mapping last, so their hosts should use
/// different ports.
///
/// [`Hairpin`](Self::Hairpin) and [`Carrier`](Self::Carrier) hairpin (RFC 4787 §6). Behind the others, as behind most
/// home routers, a host cannot reach another host of the same home by the router's public address.
///
/// The kernel's NAT makes the kinds that it can make, up to [`Symmetric`](Self::Symmetric), and
/// [`Igd`](Self::Igd). The others, and NATs with [properties of their own](HomeNat::Properties), run in user space:
/// the NAT of the simulator ([`teredo_nat`]) on real packets.
///
/// ```
/// use teredo_lab::NatKind;
/// let kind: NatKind = "port-restricted".parse()?;
/// assert_eq!(kind, NatKind::PortRestricted);
/// assert_eq!(kind.to_string(), "port-restricted");
/// # Ok::<(), teredo_lab::UnknownNatKind>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NatKind {
    /// No NAT and no filter: the hosts of the home have public addresses.
    None,
    /// Endpoint-independent mapping and filtering ("full cone"): any sender that knows the mapping reaches
    /// the host through it.
    Cone,
    /// Endpoint-independent mapping, address-dependent filtering ("restricted cone"): only addresses
    /// that the host has sent to from the same port come through, from any of their ports.
    Restricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering ("port-restricted cone"):
    /// only the very endpoints that the host has sent to come through. This is the usual home router, and Linux
    /// masquerading.
    #[default]
    PortRestricted,
    /// A port-restricted router that does not filter its own input. If a datagram comes in for a port before the
    /// host has sent to its sender, Linux takes it for the router's own, answers with an ICMP error, and remembers
    /// the connection. The host's own datagrams to the sender then get another external port, and further
    /// datagrams of the sender end at the router (Debian bug #404365). Linux also uses the newer port for later
    /// destinations of the host.
    OpenInput,
    /// Address- and port-dependent mapping and filtering ("symmetric"): another external port for
    /// every destination.
    Symmetric,
    /// [`Symmetric`](Self::Symmetric) with external ports in sequence (RFC 6081 §3.4).
    SymmetricSequential,
    /// [`Symmetric`](Self::Symmetric), whose first destination sees the inside port (RFC 6081 §3.3).
    SymmetricPreserving,
    /// [`Symmetric`](Self::Symmetric) with another public address, of four, for each destination (RFC 6081 §2).
    AddressSymmetric,
    /// A port-restricted home router behind the NAT of a carrier, which has four public addresses, random ports, and
    /// hairpins, and gives the home an address of 100.64.0.0/10 (RFC 6598, RFC 6888).
    Carrier,
    /// [`PortRestricted`](Self::PortRestricted), and hosts of the home reach each other by the public address.
    Hairpin,
    /// [`PortRestricted`](Self::PortRestricted), and hosts may ask the router for ports: a real Internet Gateway
    /// Device, which answers UPnP IGD, PCP and NAT-PMP ([`Igd`](crate::Igd)). Its public address is one of
    /// 44.128.0.0/24.
    Igd,
    /// [`SymmetricPreserving`](Self::SymmetricPreserving), and hosts may ask the router for ports, as of
    /// [`Igd`](Self::Igd): a granted port is open to all, and other destinations than the first see another one (RFC
    /// 6081 §3.2, a UPnP-enabled symmetric NAT).
    IgdSymmetric,
}

impl NatKind {
    /// All kinds, from the most open to the most closed.
    pub const ALL: [Self; 13] = [
        Self::None,
        Self::Cone,
        Self::Restricted,
        Self::PortRestricted,
        Self::OpenInput,
        Self::Symmetric,
        Self::SymmetricSequential,
        Self::SymmetricPreserving,
        Self::AddressSymmetric,
        Self::Carrier,
        Self::Hairpin,
        Self::Igd,
        Self::IgdSymmetric,
    ];

    /// The name, which [`FromStr`] reads and [`Display`](fmt::Display) writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cone => "cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::OpenInput => "open-input",
            Self::Symmetric => "symmetric",
            Self::SymmetricSequential => "symmetric-sequential",
            Self::SymmetricPreserving => "symmetric-preserving",
            Self::AddressSymmetric => "address-symmetric",
            Self::Carrier => "carrier",
            Self::Hairpin => "hairpin",
            Self::Igd => "igd",
            Self::IgdSymmetric => "igd-symmetric",
        }
    }

    /// The properties of the NAT that the Internet sees, as the simulator has them.
    pub const fn behaviour(self) -> NatBehaviour {
        match self {
            Self::None => NatBehaviour::none(),
            Self::Cone => NatBehaviour::cone(),
            Self::Restricted => NatBehaviour::restricted(),
            Self::PortRestricted => NatBehaviour::port_restricted(),
            Self::OpenInput => NatBehaviour::open_input(),
            Self::Symmetric => NatBehaviour::symmetric_random(),
            Self::SymmetricSequential => NatBehaviour::symmetric_sequential(),
            Self::SymmetricPreserving => NatBehaviour::symmetric_preserving(),
            Self::AddressSymmetric => NatBehaviour::address_symmetric(),
            Self::Carrier => NatBehaviour::carrier(),
            Self::Hairpin => NatBehaviour::hairpin(),
            Self::Igd => NatBehaviour::igd(),
            Self::IgdSymmetric => NatBehaviour::igd_symmetric(),
        }
    }

    /// Whether the router that the Internet sees translates in user space.
    pub(crate) const fn is_in_user_space(self) -> bool {
        matches!(
            self,
            Self::SymmetricSequential
                | Self::SymmetricPreserving
                | Self::AddressSymmetric
                | Self::Carrier
                | Self::Hairpin
                | Self::IgdSymmetric
        )
    }

    /// Whether its hosts may ask the router for ports.
    pub const fn gives_ports(self) -> bool {
        matches!(self, Self::Igd | Self::IgdSymmetric)
    }
}

impl fmt::Display for NatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for NatKind {
    type Err = UnknownNatKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownNatKind(name.to_owned()))
    }
}

/// A word that names no [`NatKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of NAT")]
pub struct UnknownNatKind(String);

#[cfg(test)]
mod tests;
