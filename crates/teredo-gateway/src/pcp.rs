//! PCP and NAT-PMP, with the messages of `crab_nat`.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;

use crab_nat::{
    GatewayAddress, InternetProtocol, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, VersionCode, natpmp, pcp,
};

use crate::ask::{LIFETIME, Timeouts};
use crate::judge::credible;
use crate::mapping::{Mapping, Protocol, Refusal};

/// Why PCP gave no mapping.
pub(crate) enum Failure {
    /// The router has NAT-PMP.
    OlderVersion,
    Refusal(Refusal),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::OlderVersion => Self::Malformed(Protocol::Pcp),
            Failure::Refusal(refusal) => refusal,
        }
    }
}

pub(crate) async fn map(
    mapping: Mapping,
    timeouts: Timeouts,
    write_down: &mut impl FnMut(&Mapping),
) -> Result<Mapping, Failure> {
    let port = internal(&mapping).map_err(Failure::Refusal)?;
    write_down(&mapping);
    let request = pcp::BaseMapRequest::new(
        mapping.gateway.into(),
        IpAddr::V4(*mapping.local.ip()),
        InternetProtocol::Udp,
        port,
    );
    let external = mapping.external;
    let suggested = (!external.ip().is_unspecified()).then_some(IpAddr::V4(*external.ip()));
    let given = pcp::port_mapping(
        request,
        mapping.nonce,
        suggested,
        options(&mapping, timeouts),
    )
    .await;
    let given = given.map_err(|failure| match failure {
        pcp::Failure::UnsupportedVersion(VersionCode::NatPmp) => Failure::OlderVersion,
        other => Failure::Refusal(pcp_refusal(other)),
    })?;
    let PortMappingType::Pcp {
        external_ip: IpAddr::V4(address),
        ..
    } = given.mapping_type()
    else {
        return Err(Failure::Refusal(Refusal::Malformed(Protocol::Pcp)));
    };
    credible(answered(mapping, &given, address), mapping.wanted()).map_err(Failure::Refusal)
}

pub(crate) async fn map_by_nat_pmp(
    mapping: Mapping,
    timeouts: Timeouts,
    write_down: &mut impl FnMut(&Mapping),
) -> Result<Mapping, Refusal> {
    let port = internal(&mapping)?;
    write_down(&mapping);
    let gateway = GatewayAddress::from(mapping.gateway);
    let options = options(&mapping, timeouts);
    let given = natpmp::port_mapping(gateway, InternetProtocol::Udp, port, options).await;
    let given = given.map_err(nat_pmp_refusal)?;
    let address = natpmp::external_address(gateway, Some(patience(timeouts))).await;
    let judged = address
        .map_err(nat_pmp_refusal)
        .and_then(|address| credible(answered(mapping, &given, address), mapping.wanted()));
    if judged.is_err() {
        // R6081-5.3.3-04: without an external address, the mapping is of no use.
        let undone = unmap(&mapping, timeouts).await;
        tracing::debug!(
            ?undone,
            "a mapping without an external address is taken back"
        );
    }
    judged
}

/// Takes a mapping back. The router knows whose it is: by the nonce, and by the source of the datagram.
pub(crate) async fn unmap(mapping: &Mapping, timeouts: Timeouts) -> Result<(), Refusal> {
    let port = internal(mapping)?;
    let patience = Some(patience(timeouts));
    let gateway = GatewayAddress::from(mapping.gateway);
    match mapping.nonce {
        Some(nonce) => {
            let range = pcp::DropMappingRange::Single {
                protocol: InternetProtocol::Udp,
                internal_port: port,
            };
            let client = IpAddr::V4(*mapping.local.ip());
            pcp::try_drop_mapping(gateway, client, nonce, range, patience)
                .await
                .map_err(pcp_refusal)
        }
        None => natpmp::try_drop_mapping(gateway, InternetProtocol::Udp, Some(port), patience)
            .await
            .map_err(nat_pmp_refusal),
    }
}

fn answered(mapping: Mapping, given: &PortMapping, address: Ipv4Addr) -> Mapping {
    Mapping {
        external: SocketAddrV4::new(address, given.external_port().get()),
        lifetime: Some(given.lifetime()),
        epoch: Some(given.gateway_epoch()),
        ..mapping
    }
}

fn internal(mapping: &Mapping) -> Result<NonZeroU16, Refusal> {
    NonZeroU16::new(mapping.local.port()).ok_or(Refusal::Incredible(mapping.local))
}

fn options(mapping: &Mapping, timeouts: Timeouts) -> PortMappingOptions {
    PortMappingOptions {
        external_port: NonZeroU16::new(mapping.external.port()),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(patience(timeouts)),
    }
}

/// Two datagrams. A router without a PCP server refuses the first at once, by ICMP.
fn patience(timeouts: Timeouts) -> TimeoutConfig {
    TimeoutConfig {
        initial_timeout: timeouts.datagram,
        max_retries: 1,
        max_retry_timeout: None,
    }
}

fn pcp_refusal(failure: pcp::Failure) -> Refusal {
    use pcp::Failure as F;
    let words = match failure {
        F::Socket(error) => return Refusal::unsent(&error),
        F::Timeout => return Refusal::Silent,
        F::Nonce | F::InvalidResponse(_) | F::UnsupportedVersion(_) => {
            return Refusal::Malformed(Protocol::Pcp);
        }
        F::NotAuthorized(_) => "not authorized",
        F::NetworkFailure(_) => "it has no network",
        F::NoResources(_) | F::UserExceededQuota(_) => "no room",
        F::CannotProvideExternal(_) => "it cannot provide the address",
        F::AddressMismatch => "another NAT is before it",
        _ => "it does not support the request",
    };
    Refusal::Refused(Protocol::Pcp, words.to_owned())
}

fn nat_pmp_refusal(failure: natpmp::Failure) -> Refusal {
    use natpmp::Failure as F;
    let words = match failure {
        F::Socket(error) => return Refusal::unsent(&error),
        F::Timeout => return Refusal::Silent,
        F::InvalidResponse(_) | F::UnsupportedVersion(_) => {
            return Refusal::Malformed(Protocol::NatPmp);
        }
        F::NotAuthorized => "not authorized",
        F::NetworkFailure => "it has no network",
        F::OutOfResources => "no room",
        F::UnsupportedOpcode => "it does not support the request",
    };
    Refusal::Refused(Protocol::NatPmp, words.to_owned())
}
