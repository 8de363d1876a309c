//! The NATs of `teredo lab`: kinds, and properties of RFC 4787.

use teredo_lab::NatKind;

/// A kind in a sentence.
pub(super) const fn kind(kind: NatKind) -> &'static str {
    match kind {
        NatKind::None => "no NAT and no filter: the hosts have public addresses",
        NatKind::Cone => {
            "one mapping for all destinations, and everybody may send to it (full cone; RFC 4787: endpoint-independent \
             mapping and filtering)"
        }
        NatKind::Restricted => {
            "one mapping for all destinations, and the addresses that were sent to may send to it (RFC 4787: \
             endpoint-independent mapping, address-dependent filtering)"
        }
        NatKind::PortRestricted => {
            "one mapping for all destinations, and the addresses and ports that were sent to may send to it: the usual home \
             router (RFC 4787: endpoint-independent mapping, address- and port-dependent filtering)"
        }
        NatKind::OpenInput => {
            "a port-restricted NAT whose router does not filter its own input, so that a datagram that comes too early takes \
             the port away (Debian bug #404365)"
        }
        NatKind::Symmetric => {
            "another mapping with a random port for each destination, which alone may send to it (RFC 4787: address- and \
             port-dependent mapping and filtering)"
        }
        NatKind::SymmetricSequential => {
            "a symmetric NAT that gives ports in sequence, so that a peer foresees the next one (RFC 6081 §3.4)"
        }
        NatKind::SymmetricPreserving => {
            "a symmetric NAT whose first destination sees the inside port (RFC 6081 §3.3)"
        }
        NatKind::AddressSymmetric => {
            "a symmetric NAT with another public address, of four, for each destination (RFC 6081 §2)"
        }
        NatKind::Carrier => {
            "two NATs in a row: a port-restricted home router behind the NAT of a carrier (RFC 6888)"
        }
        NatKind::Hairpin => {
            "a port-restricted NAT whose hosts reach each other by the public address (RFC 4787 §6)"
        }
        NatKind::Igd => {
            "a port-restricted NAT that gives ports on request, by UPnP IGD, PCP and NAT-PMP"
        }
        NatKind::IgdSymmetric => {
            "a symmetric NAT that gives ports on request: a granted port is open to all, and other destinations than the \
             first see another one (RFC 6081 §3.2)"
        }
    }
}

/// A property in a sentence.
pub(super) fn property(name: &str) -> Option<&'static str> {
    Some(match name {
        "endpoint-independent-mapping" => {
            "all destinations see one mapping of a port (RFC 4787 §4.1)"
        }
        "address-dependent-mapping" => {
            "each destination address sees another mapping of a port (RFC 4787 §4.1)"
        }
        "address-and-port-dependent-mapping" => {
            "each destination address and port sees another mapping of a port (RFC 4787 §4.1)"
        }
        "endpoint-independent-filtering" => "everybody may send to a mapping (RFC 4787 §5)",
        "address-dependent-filtering" => {
            "the addresses that were sent to may send to a mapping, from any port (RFC 4787 §5)"
        }
        "address-and-port-dependent-filtering" => {
            "the addresses and ports that were sent to may send to a mapping (RFC 4787 §5)"
        }
        "port-preservation" => {
            "the external port is the inside one, or the next that is free (RFC 4787 §4.2.1)"
        }
        "port-overloading" => {
            "the external port is the inside one, even if another mapping has it (RFC 4787 §4.2.1)"
        }
        "sequential-ports" => "each new mapping has the next port",
        "sequential-ports-by-two" => "each new mapping has the next port but one",
        "random-ports" => "each new mapping has any port",
        "port-parity" => {
            "an even port is mapped to an even one, and an odd to an odd one (RFC 4787 §4.2.2)"
        }
        "hairpinning" => "hosts inside reach each other by their external addresses (RFC 4787 §6)",
        "open-input" => {
            "the router takes datagrams that it refuses for its own, as a Linux router with unfiltered input does (Debian \
             bug #404365)"
        }
        _ => return None,
    })
}
