//! Kinds of NATs by name: those of RFC 4380 and RFC 6081, and a few that are in use.

use std::time::Duration;

use super::behaviour::{
    Filtering, HairpinSource, Mapping, NatBehaviour, Pooling, PortAssignment, PortRange,
};
use super::igd::Igd;

impl NatBehaviour {
    const fn new(mapping: Mapping, filtering: Filtering, ports: PortAssignment) -> Self {
        Self {
            translates: true,
            mapping,
            filtering,
            ports,
            parity: false,
            range: PortRange::ALL,
            addresses: 1,
            pooling: Pooling::Paired,
            most_per_host: None,
            lifetime: Duration::from_secs(120),
            refresh_outbound: true,
            refresh_inbound: false,
            hairpin: false,
            hairpin_source: HairpinSource::External,
            open_input: false,
            rejects: false,
            icmp_errors: true,
            igd: None,
        }
    }

    /// The kind in a few words, for people: the closest of those below.
    pub const fn words(&self) -> &'static str {
        match (self.translates, self.mapping, self.filtering) {
            (false, _, Filtering::EndpointIndependent) => "router",
            (false, ..) => "firewall",
            (_, Mapping::EndpointIndependent, Filtering::EndpointIndependent) => "cone NAT",
            (_, Mapping::EndpointIndependent, Filtering::AddressDependent) => "restricted NAT",
            (_, Mapping::EndpointIndependent, _) if self.open_input => "open-input NAT",
            (_, Mapping::EndpointIndependent, _) => "port-restricted NAT",
            _ if self.addresses > 1 && matches!(self.pooling, Pooling::Arbitrary) => {
                "address-symmetric NAT"
            }
            _ => match self.ports {
                PortAssignment::Preserving => "port-preserving symmetric NAT",
                PortAssignment::Overloading => "port-overloading NAT",
                PortAssignment::Sequential | PortAssignment::SequentialByTwo => {
                    "sequential symmetric NAT"
                }
                PortAssignment::Random => "symmetric NAT",
            },
        }
    }

    /// No NAT: a router. Hosts behind it have public addresses, and everybody reaches them.
    pub const fn none() -> Self {
        Self {
            translates: false,
            ..Self::cone()
        }
    }

    /// No NAT, but a firewall: hosts behind it have public addresses, and receive from the addresses and ports that
    /// they have sent to.
    pub const fn firewall() -> Self {
        Self {
            translates: false,
            ..Self::port_restricted()
        }
    }

    /// A cone NAT (RFC 4380 §3.1): one port for all destinations, open to all senders.
    pub const fn cone() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::EndpointIndependent,
            PortAssignment::Preserving,
        )
    }

    /// A restricted cone NAT: one port for all destinations, open to the addresses that were sent to.
    pub const fn restricted() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::AddressDependent,
            PortAssignment::Preserving,
        )
    }

    /// A port restricted cone NAT: one port for all destinations, open to the addresses and ports that were sent to.
    pub const fn port_restricted() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::AddressAndPortDependent,
            PortAssignment::Preserving,
        )
    }

    /// As [`port_restricted`](Self::port_restricted), with a router whose input is unfiltered.
    pub const fn open_input() -> Self {
        Self {
            open_input: true,
            rejects: true,
            ..Self::port_restricted()
        }
    }

    /// As [`port_restricted`](Self::port_restricted), and hosts inside reach each other by their external addresses as
    /// RFC 4787 §6 demands.
    pub const fn hairpin() -> Self {
        Self {
            hairpin: true,
            ..Self::port_restricted()
        }
    }

    /// As [`hairpin`](Self::hairpin), but the receiver sees the sender's inside address (RFC 4787 §6, against REQ-9).
    pub const fn hairpin_internal() -> Self {
        Self {
            hairpin_source: HairpinSource::Internal,
            ..Self::hairpin()
        }
    }

    /// A symmetric NAT: another port, in sequence, for each destination, open to that destination only.
    pub const fn symmetric() -> Self {
        Self::new(
            Mapping::AddressAndPortDependent,
            Filtering::AddressAndPortDependent,
            PortAssignment::Sequential,
        )
    }

    /// The sequential port-symmetric NAT of RFC 6081 §3.4: as [`symmetric`](Self::symmetric), whose ports have steps
    /// of 1.
    pub const fn symmetric_sequential() -> Self {
        Self::symmetric()
    }

    /// A sequential port-symmetric NAT with steps of 2 that keeps the parity of ports (RFC 4787 §4.2.2). RFC 6081 §6.4
    /// has such a NAT: 1200, then 1202.
    pub const fn symmetric_sequential_by_two() -> Self {
        Self {
            ports: PortAssignment::SequentialByTwo,
            parity: true,
            ..Self::symmetric()
        }
    }

    /// The port-preserving symmetric NAT of RFC 6081 §3.3: the first destination of a socket sees the inside port, and
    /// others see other ports.
    pub const fn symmetric_preserving() -> Self {
        Self {
            ports: PortAssignment::Preserving,
            ..Self::symmetric()
        }
    }

    /// A Linux router: a mapping for each destination, which all keep the inside port.
    pub const fn symmetric_overloading() -> Self {
        Self {
            ports: PortAssignment::Overloading,
            ..Self::symmetric()
        }
    }

    /// A symmetric NAT with any port for each destination, such as a Linux router with `masquerade random`.
    pub const fn symmetric_random() -> Self {
        Self {
            ports: PortAssignment::Random,
            ..Self::symmetric()
        }
    }

    /// The address-symmetric NAT of RFC 6081 §2: another external address for each destination, of four.
    pub const fn address_symmetric() -> Self {
        Self {
            addresses: 4,
            pooling: Pooling::Arbitrary,
            ports: PortAssignment::Random,
            ..Self::symmetric()
        }
    }

    /// As [`port_restricted`](Self::port_restricted), and hosts may ask it for ports (RFC 6081 §2: a UPnP-enabled NAT).
    pub const fn igd() -> Self {
        Self {
            igd: Some(Igd::Honest),
            ..Self::port_restricted()
        }
    }

    /// As [`symmetric_preserving`](Self::symmetric_preserving), and hosts may ask it for ports (RFC 6081 §3.2: a
    /// UPnP-enabled symmetric NAT).
    pub const fn igd_symmetric() -> Self {
        Self {
            igd: Some(Igd::Honest),
            ..Self::symmetric_preserving()
        }
    }

    /// The NAT of a carrier, in front of its customers' NATs, as RFC 6888 demands: one port for all destinations, the
    /// same external address for all ports of a customer, a limit for each customer, and hairpinning. Many filter by
    /// address and port, and so does this one.
    pub const fn carrier() -> Self {
        Self {
            ports: PortAssignment::Random,
            addresses: 4,
            most_per_host: Some(1_000),
            hairpin: true,
            ..Self::port_restricted()
        }
    }
}
