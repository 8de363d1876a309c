//! Asks a router: by PCP or NAT-PMP, which need one datagram, and if it has neither, by UPnP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;

use crate::judge::is_home_router;
use crate::keeper::Task;
use crate::mapping::{Mapping, MappingStore, Protocol, Refusal, Wanted};
use crate::pcp;
use crate::upnp::Upnp;

/// The lifetime to ask for, in seconds. Half of it passes until a router that has restarted is asked again; all of it,
/// until the mapping of a host that was cut off is gone.
pub(crate) const LIFETIME: u32 = 1200;

/// How long a router may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the first datagram of PCP or NAT-PMP; the second gets twice this.
    pub datagram: Duration,
    /// To find the router's UPnP.
    pub search: Duration,
    /// For one request of UPnP.
    pub request: Duration,
    /// For all that one task needs.
    pub task: Duration,
    /// For all that is left once the owner has gone. After it, nothing more is asked.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            datagram: Duration::from_millis(200),
            search: Duration::from_secs(3),
            request: Duration::from_secs(3),
            task: Duration::from_secs(12),
            end: Duration::from_secs(2),
        }
    }
}

/// Carries tasks out.
pub(crate) struct Asker {
    timeouts: Timeouts,
    store: Box<dyn MappingStore>,
    upnp: Upnp,
    /// The mapping that the question under way, or the last one without an answer, may have made.
    pub(crate) intent: Option<Mapping>,
}

impl Asker {
    pub(crate) fn new(timeouts: Timeouts, store: Box<dyn MappingStore>) -> Self {
        Self {
            timeouts,
            store,
            upnp: Upnp::new(timeouts),
            intent: None,
        }
    }

    pub(crate) fn left(&mut self) -> Option<Mapping> {
        self.store.load()
    }

    /// Ends within [`Timeouts::task`]. If it is dropped before, [`intent`](Self::intent) is to be taken back.
    pub(crate) async fn perform(&mut self, task: Task) -> Result<Mapping, Refusal> {
        let limit = self.timeouts.task;
        let work = async {
            match task {
                Task::Ask(wanted) => {
                    permitted(wanted)?;
                    self.ask(wanted).await
                }
                Task::Renew(mapping) => {
                    permitted(mapping.wanted())?;
                    self.map(mapping).await
                }
                Task::Release(mapping) => self.release(mapping).await,
            }
        };
        let outcome = timeout(limit, work).await.unwrap_or(Err(Refusal::Silent));
        let asked = !matches!(task, Task::Release(_));
        match &outcome {
            Ok(mapping) if asked => self.store.save(mapping),
            // The router may have understood a question that it did not answer.
            Err(refusal) if refusal.is_unanswered() && (self.intent.is_some() || !asked) => {}
            Err(refusal) if matches!(task, Task::Renew(_)) && !refusal.is_final() => {}
            _ => self.store.clear(),
        }
        let is_unanswered = outcome.as_ref().is_err_and(Refusal::is_unanswered);
        if !(matches!(task, Task::Ask(_)) && is_unanswered) {
            self.intent = None;
        }
        outcome
    }

    async fn ask(&mut self, wanted: Wanted) -> Result<Mapping, Refusal> {
        let mut pcp = Mapping::intended(wanted, Protocol::Pcp);
        pcp.nonce = Some(nonce());
        let first = self.map(pcp).await;
        let Err(refusal) = first else {
            return first;
        };
        tracing::debug!(%refusal, "no mapping by PCP or NAT-PMP");
        self.intent = None;
        match self.map(Mapping::intended(wanted, Protocol::Upnp)).await {
            // An answer says more, and so do rules of this host.
            Err(second)
                if second.is_unanswered()
                    && self.intent.is_none()
                    && refusal != Refusal::Silent =>
            {
                Err(refusal)
            }
            outcome => outcome,
        }
    }

    /// Asks for a mapping by its protocol: a new one, or the same for longer.
    async fn map(&mut self, mapping: Mapping) -> Result<Mapping, Refusal> {
        let Self {
            store,
            intent,
            upnp,
            timeouts,
        } = self;
        // The process may die after the router has made the mapping and before the answer comes, so it is written down
        // first.
        let mut write_down = |mapping: &Mapping| {
            store.save(mapping);
            *intent = Some(*mapping);
        };
        match mapping.protocol {
            Protocol::Pcp => match pcp::map(mapping, *timeouts, &mut write_down).await {
                Err(pcp::Failure::OlderVersion) => {
                    let older = Mapping {
                        protocol: Protocol::NatPmp,
                        nonce: None,
                        ..mapping
                    };
                    pcp::map_by_nat_pmp(older, *timeouts, &mut write_down).await
                }
                outcome => outcome.map_err(Into::into),
            },
            Protocol::NatPmp => pcp::map_by_nat_pmp(mapping, *timeouts, &mut write_down).await,
            Protocol::Upnp => upnp.map(mapping, &mut write_down).await,
        }
    }

    /// Takes a mapping back (R6081-5.3.5-01), unless it cannot be this host's any more.
    async fn release(&mut self, mapping: Mapping) -> Result<Mapping, Refusal> {
        // In another network, another router has the same address.
        permitted(mapping.wanted())?;
        match mapping.protocol {
            Protocol::Pcp | Protocol::NatPmp => pcp::unmap(&mapping, self.timeouts).await?,
            Protocol::Upnp => self.upnp.unmap(&mapping).await?,
        }
        tracing::info!(router = %mapping.gateway, port = mapping.external.port(), "mapping taken back");
        Ok(mapping)
    }
}

/// Refuses a router that is none of a home, and one that would map another address of this host.
fn permitted(wanted: Wanted) -> Result<(), Refusal> {
    let Wanted { gateway, local } = wanted;
    if !is_home_router(gateway) {
        return Err(Refusal::Public(gateway));
    }
    match source(gateway) {
        Ok(from) if from == *local.ip() => Ok(()),
        Ok(from) => Err(Refusal::OtherSource {
            gateway,
            from,
            bound: *local.ip(),
        }),
        Err(error) => {
            tracing::debug!(%error, %gateway, "no way to the router");
            Err(Refusal::Silent)
        }
    }
}

/// The address that datagrams to the router leave from; asking sends nothing.
fn source(gateway: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((gateway, crab_nat::GATEWAY_PORT))?;
    match socket.local_addr()? {
        SocketAddr::V4(local) => Ok(*local.ip()),
        SocketAddr::V6(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// RFC 6887 §11.2: another host cannot guess it, and so cannot take the mapping back.
fn nonce() -> [u32; 3] {
    let mut bytes = [0; 12];
    // It blocks only before the kernel has any randomness, and cannot fail for so few bytes.
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(bytes.len()));
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}
