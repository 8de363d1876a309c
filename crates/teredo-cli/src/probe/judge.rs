//! Judges a router advertisement as a client does (RFC 4380 §5.2.1), and names all else that is unusual.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::wire::{
    Datagram, Icmpv6, MTU, ParseError, PrefixInformation, RouterAdvertisement, TeredoAddress,
    is_obsolete_teredo, server_link_local,
};

use super::finding::{self, Finding};

/// The verdict on one advertisement.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The primary address in the prefix, and the mapping; `None` if a client would refuse the advertisement.
    pub(super) accepted: Option<Accepted>,
    pub(super) findings: Vec<Finding>,
}

/// The contents of an advertisement that a client believes, if the server is the one that it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) server: Ipv4Addr,
    pub(super) mapped: SocketAddrV4,
}

/// Judges the answer to a solicitation from the link-local address `solicited`.
pub(super) fn advertisement(datagram: &Datagram<'_>, solicited: Ipv6Addr) -> Verdict {
    let mut verdict = Verdict::default();
    let findings = &mut verdict.findings;
    if let Some(element) = &datagram.authentication {
        if element.confirmation != 0 {
            findings.push(finding::CONFIRMATION.found(format!(
                "the confirmation byte is {}, although no key was used",
                element.confirmation
            )));
        }
        if !element.identifier.is_empty() || !element.value.is_empty() {
            findings.push(finding::IDENTIFIER.found(format!(
                "the answer has an identifier of {} bytes and a keyed hash of {}, although none was sent",
                element.identifier.len(),
                element.value.len()
            )));
        }
    }
    let Some(advertisement) = parsed(datagram, findings) else {
        return verdict;
    };
    let server = prefix(&advertisement, findings);
    let packet = &datagram.packet;
    if packet.destination() != solicited {
        findings.push(finding::RA_DESTINATION.found(format!(
            "the advertisement is addressed to {}, not to {solicited}",
            packet.destination()
        )));
    }
    if datagram.origin.is_none() {
        findings.push(
            finding::ORIGIN_MISSING.found("the answer does not say from where the request came"),
        );
    }
    unusual(&advertisement, findings);
    if let Some(server) = server
        && packet.source() != server_link_local(server)
    {
        findings.push(finding::RA_IDENTIFIER.found(format!(
            "the advertisement comes from {}, not from {}",
            packet.source(),
            server_link_local(server)
        )));
    }
    let mapped = datagram.origin.map(|origin| origin.0);
    if let (Some(server), Some(mapped)) = (server, mapped)
        && packet.destination() == solicited
    {
        verdict.accepted = Some(Accepted { server, mapped });
    }
    verdict
}

/// The advertisement, if it is one by the rules of Neighbor Discovery.
fn parsed(datagram: &Datagram<'_>, findings: &mut Vec<Finding>) -> Option<RouterAdvertisement> {
    let error = match Icmpv6::parse(&datagram.packet) {
        Ok(Icmpv6::RouterAdvertisement(advertisement)) => return Some(advertisement),
        Ok(other) => {
            let text = format!("the answer is no router advertisement but: {other}");
            findings.push(finding::RA_INVALID.found(text));
            return None;
        }
        Err(error) => error,
    };
    findings.push(match error {
        ParseError::Checksum(_) => {
            finding::RA_CHECKSUM.found("the checksum of the router advertisement is wrong")
        }
        ParseError::NeighborDiscoveryHopLimit(limit) => finding::RA_HOP_LIMIT.found(format!(
            "the router advertisement has the hop limit {limit}, not 255"
        )),
        ParseError::NeighborDiscoverySource => finding::RA_SOURCE.found(format!(
            "the router advertisement comes from {}, which is not link-local",
            datagram.packet.source()
        )),
        error => finding::RA_INVALID.found(format!("the router advertisement is invalid: {error}")),
    });
    None
}

/// The server in the prefix, if there is one prefix and it is a server's.
fn prefix(advertisement: &RouterAdvertisement, findings: &mut Vec<Finding>) -> Option<Ipv4Addr> {
    let [prefix] = advertisement.prefixes.as_slice() else {
        findings.push(finding::PREFIX_COUNT.found(format!(
            "the advertisement has {} prefixes",
            advertisement.prefixes.len()
        )));
        return None;
    };
    if is_obsolete_teredo(&prefix.prefix) {
        findings.push(finding::PREFIX_OBSOLETE.found(format!(
            "the server advertises {prefix}, which was used before RFC 4380"
        )));
        return None;
    }
    let server = TeredoAddress::from_ipv6(prefix.prefix).filter(|_| prefix.length == 64);
    if server.is_none() {
        findings.push(finding::PREFIX_OTHER.found(format!(
            "the server advertises {prefix}, which is no /64 of 2001::/32"
        )));
    }
    Some(server?.server)
}

/// Remarks on parts that a client does not mind.
fn unusual(advertisement: &RouterAdvertisement, findings: &mut Vec<Finding>) {
    if advertisement.router_lifetime != 0 {
        findings.push(finding::ROUTER_LIFETIME.found(format!(
            "the server calls itself a default router for {} s",
            advertisement.router_lifetime
        )));
    }
    match advertisement.mtu {
        None => findings.push(finding::MTU_MISSING.found("the advertisement names no MTU")),
        Some(mtu) if mtu != MTU as u32 => {
            findings.push(finding::MTU_ODD.found(format!("the announced MTU is {mtu}, not 1280")));
        }
        Some(_) => {}
    }
    for prefix in &advertisement.prefixes {
        let PrefixInformation {
            on_link,
            autonomous,
            valid_lifetime,
            preferred_lifetime,
            ..
        } = *prefix;
        if on_link || !autonomous {
            let [l, a] = [on_link, autonomous].map(u8::from);
            let text = format!("the prefix {prefix} has the flags L={l} A={a}");
            findings.push(finding::PREFIX_FLAGS.found(text));
        }
        if valid_lifetime == 0 || preferred_lifetime > valid_lifetime {
            findings.push(finding::PREFIX_LIFETIME.found(format!(
                "the prefix {prefix} is valid for {valid_lifetime} s and preferred for {preferred_lifetime} s"
            )));
        }
    }
}

#[cfg(test)]
mod tests;
