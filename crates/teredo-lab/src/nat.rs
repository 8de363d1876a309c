//! Kinds of NAT, in the terms of RFC 4787.

use std::fmt;
use std::str::FromStr;

/// What a home router does to UDP, in the terms of RFC 4787: *mapping* (§4.1) says which external
/// port a datagram leaves from, *filtering* (§5) which datagrams from outside are let in. In brackets
/// the older names of RFC 3489, which RFC 4380 uses.
///
/// Two hosts of a home that send from the same port to the same destination get different external
/// ports. [`Cone`](Self::Cone) and [`Restricted`](Self::Restricted) let in what is for a mapping
/// that two hosts share for different destinations to the one that used it last, so their hosts
/// should use different ports.
///
/// As most home routers, none of them hairpins (RFC 4787 §6): a host cannot reach another host of the
/// same home by the router's public address.
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
    /// Endpoint-independent mapping and filtering ("full cone"): whoever knows the mapping reaches
    /// the host through it.
    Cone,
    /// Endpoint-independent mapping, address-dependent filtering ("restricted cone"): only addresses
    /// that the host has sent to from the same port come through, from any of their ports.
    Restricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering ("port-restricted cone"):
    /// only the very endpoints that the host has sent to come through. The usual home router, and
    /// what Linux masquerading is.
    #[default]
    PortRestricted,
    /// A port-restricted router whose own input is not filtered. What comes in for a port before the
    /// host has sent there is the router's own to Linux: it answers with an ICMP error, and remembers
    /// the connection. That one stands in the way of the host's own datagrams to the sender, which get
    /// another external port, and what the sender goes on sending ends at the router (Debian bug
    /// #404365). Linux gives the newer port to whomever the host writes to afterwards, too.
    OpenInput,
    /// Address- and port-dependent mapping and filtering ("symmetric"): another external port for
    /// every destination.
    Symmetric,
}

impl NatKind {
    /// All kinds, from the most open to the most closed.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Cone,
        Self::Restricted,
        Self::PortRestricted,
        Self::OpenInput,
        Self::Symmetric,
    ];

    /// The name: what [`FromStr`] reads and [`Display`](fmt::Display) writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cone => "cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::OpenInput => "open-input",
            Self::Symmetric => "symmetric",
        }
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
#[error(
    "{0:?} is no kind of NAT: none, cone, restricted, port-restricted, open-input and symmetric are"
)]
pub struct UnknownNatKind(String);

#[cfg(test)]
mod tests;
