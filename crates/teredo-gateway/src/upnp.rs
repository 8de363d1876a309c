//! The Internet Gateway Device of UPnP, with the messages of `igd-next`.

mod search;

use std::future::Future;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use igd_next::aio::Gateway;
use igd_next::aio::tokio::Tokio;
use igd_next::{
    AddPortError, GetExternalIpError, GetGenericPortMappingEntryError, PortMappingProtocol,
    RemovePortError, RequestError, SearchError,
};
use tokio::time::timeout;

use crate::ask::{LIFETIME, Timeouts};
use crate::judge::credible;
use crate::mapping::{Mapping, Protocol, Refusal, Wanted};

/// RFC 6081 §5.3.3
const DESCRIPTION: &str = "TEREDO";

/// The lease of a mapping that does not end by itself.
const PERMANENT: u32 = 0;

/// The most entries of the router's list that are read. A list that is longer counts as one that is not shown.
const LONGEST_LIST: u32 = 64;

/// The router's side, as far as it is known.
pub(crate) struct Upnp {
    timeouts: Timeouts,
    /// The device that answered last.
    found: Option<Gateway<Tokio>>,
}

/// The owner of an external port, by the router's list.
enum Owner {
    This,
    Another,
    None,
    /// The router shows no list.
    Unknown,
}

impl Upnp {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            found: None,
        }
    }

    /// Asks for the mapping, or for the same one again.
    ///
    /// DEVIATION(rfc6081 §5.3.3): the mapping has a lifetime of 20 minutes and is renewed, so that it ends if the host is
    /// cut off; it is without one (a lease of 0) if the router permits nothing else. (R6081-5.3.3-02)
    pub(crate) async fn map(
        &mut self,
        mapping: Mapping,
        write_down: &mut impl FnMut(&Mapping),
    ) -> Result<Mapping, Refusal> {
        let device = self.device(mapping.wanted()).await?;
        let outcome = self.map_at(&device, mapping, write_down).await;
        if outcome.is_err() {
            // It may have restarted, with another place for its requests.
            self.found = None;
        }
        outcome
    }

    /// R6081-5.3.3-02, R6081-5.3.3-04, R6081-5.6.3-01
    async fn map_at(
        &self,
        device: &Gateway<Tokio>,
        mapping: Mapping,
        write_down: &mut impl FnMut(&Mapping),
    ) -> Result<Mapping, Refusal> {
        let port = mapping.external.port();
        let is_new = mapping.external.ip().is_unspecified();
        write_down(&Mapping {
            lifetime: if is_new {
                Some(LIFETIME)
            } else {
                mapping.lifetime
            },
            ..mapping
        });
        let mut lifetime = Some(LIFETIME);
        let mut added = self.add(device, mapping.local, port, LIFETIME).await?;
        if matches!(added, Err(AddPortError::OnlyPermanentLeasesSupported)) {
            lifetime = None;
            write_down(&Mapping {
                lifetime,
                ..mapping
            });
            added = self.add(device, mapping.local, port, PERMANENT).await?;
        }
        added.map_err(|error| not_added(&error, port))?;
        match self.owner(device, mapping.local, port).await? {
            Owner::This | Owner::Unknown => {}
            Owner::Another => return Err(Refusal::OtherHost(port)),
            Owner::None => return Err(Refusal::NotListed(port)),
        }
        let address = self.bounded(device.get_external_ip()).await;
        let judged = match address {
            Ok(Ok(IpAddr::V4(address))) => {
                let answered = Mapping {
                    external: SocketAddrV4::new(address, port),
                    lifetime,
                    ..mapping
                };
                credible(answered, mapping.wanted())
            }
            Ok(Err(GetExternalIpError::RequestError(error))) => Err(unanswered(&error)),
            Ok(_) => Err(refused("it has no external address")),
            Err(refusal) => Err(refusal),
        };
        if judged.is_err() {
            // R6081-5.3.3-04: without an external address, the mapping is of no use.
            let undone = self
                .bounded(device.remove_port(PortMappingProtocol::UDP, port))
                .await;
            tracing::debug!(
                undone = matches!(undone, Ok(Ok(()))),
                "the router has no external address"
            );
        }
        judged
    }

    /// Adds a mapping, or the same one again.
    async fn add(
        &self,
        device: &Gateway<Tokio>,
        local: SocketAddrV4,
        port: u16,
        lease: u32,
    ) -> Result<Result<(), AddPortError>, Refusal> {
        let local = SocketAddr::V4(local);
        let added = device.add_port(PortMappingProtocol::UDP, port, local, lease, DESCRIPTION);
        self.bounded(added).await
    }

    /// Takes the mapping back (R6081-5.3.5-01), if it is still this host's by the router's list.
    ///
    /// Without a list, one with a lifetime is left to end by itself. One without is deleted if the router gives it again.
    pub(crate) async fn unmap(&mut self, mapping: &Mapping) -> Result<(), Refusal> {
        let device = self.device(mapping.wanted()).await?;
        let port = mapping.external.port();
        match self.owner(&device, mapping.local, port).await? {
            Owner::This => {}
            Owner::None => return Ok(()),
            Owner::Another => return Err(Refusal::OtherHost(port)),
            Owner::Unknown if mapping.lifetime.is_some() => {
                return Err(refused("it shows no list of its mappings"));
            }
            // Most routers refuse the port of another host (718). Some old ones replace its mapping: the risk is taken
            // only for a mapping that would stay for ever.
            Owner::Unknown => {
                let added = self.add(&device, mapping.local, port, PERMANENT).await?;
                added.map_err(|error| not_added(&error, port))?;
            }
        }
        let removed = self
            .bounded(device.remove_port(PortMappingProtocol::UDP, port))
            .await?;
        match removed {
            Ok(()) | Err(RemovePortError::NoSuchPortMapping) => Ok(()),
            Err(RemovePortError::ActionNotAuthorized) => Err(refused("not authorized")),
            Err(RemovePortError::RequestError(error)) => Err(unanswered(&error)),
        }
    }

    /// The device, found anew if it is not known. It must be the router itself.
    async fn device(&mut self, wanted: Wanted) -> Result<Gateway<Tokio>, Refusal> {
        let is_router = |device: &Gateway<Tokio>| device.addr.ip() == IpAddr::V4(wanted.gateway);
        if let Some(device) = self.found.as_ref().filter(|device| is_router(device)) {
            return Ok(device.clone());
        }
        let found = search::search(wanted, self.timeouts.search).await;
        let device = found.map_err(|error| not_found(&error))?;
        if !is_router(&device) {
            return Err(Refusal::Silent);
        }
        self.found = Some(device.clone());
        Ok(device)
    }

    /// Looks an external port up in the router's list.
    async fn owner(
        &self,
        device: &Gateway<Tokio>,
        local: SocketAddrV4,
        port: u16,
    ) -> Result<Owner, Refusal> {
        for index in 0..LONGEST_LIST {
            match self
                .bounded(device.get_generic_port_mapping_entry(index))
                .await?
            {
                Ok(entry)
                    if entry.protocol == PortMappingProtocol::UDP
                        && entry.external_port == port =>
                {
                    let client = entry.internal_client.trim().parse();
                    let is_ours = client == Ok(*local.ip()) && entry.internal_port == local.port();
                    return Ok(if is_ours { Owner::This } else { Owner::Another });
                }
                Ok(_) => {}
                Err(GetGenericPortMappingEntryError::SpecifiedArrayIndexInvalid) => {
                    return Ok(Owner::None);
                }
                Err(_) => return Ok(Owner::Unknown),
            }
        }
        Ok(Owner::Unknown)
    }

    async fn bounded<T>(&self, request: impl Future<Output = T>) -> Result<T, Refusal> {
        timeout(self.timeouts.request, request)
            .await
            .map_err(|_| Refusal::Silent)
    }
}

fn not_found(error: &SearchError) -> Refusal {
    match error {
        SearchError::IoError(error) => Refusal::unsent(error),
        _ => Refusal::Silent,
    }
}

fn not_added(error: &AddPortError, port: u16) -> Refusal {
    match error {
        AddPortError::PortInUse => Refusal::Taken(port),
        AddPortError::ActionNotAuthorized => refused("not authorized"),
        AddPortError::RequestError(error) => unanswered(error),
        _ => refused("it does not support the request"),
    }
}

fn refused(words: &str) -> Refusal {
    Refusal::Refused(Protocol::Upnp, words.to_owned())
}

/// The router's own text is not repeated: it may be a mebibyte of anything.
fn unanswered(error: &RequestError) -> Refusal {
    match error {
        RequestError::ErrorCode(code, _) => refused(&format!("error {code}")),
        RequestError::UnsupportedAction(_) => refused("it does not support the request"),
        RequestError::IoError(_)
        | RequestError::HyperError(_)
        | RequestError::HyperClientError(_) => Refusal::Silent,
        _ => Refusal::Malformed(Protocol::Upnp),
    }
}
