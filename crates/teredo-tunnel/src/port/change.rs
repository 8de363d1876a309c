//! Changes of the service port, and how they end.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::sync::oneshot;

use crate::BindError;
use crate::lane::Offload;
use crate::udp::ServiceSocket;

/// The outcome of a change of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortChange {
    /// The port in use; 0 where there is none any more.
    pub port: u16,
    /// Whether every gating subscriber confirmed in time.
    pub settled: bool,
    /// Why it is not the port asked for.
    pub fell_back: Option<PortFallback>,
}

/// The port asked for could not be had, and another one was taken instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFallback {
    /// The port asked for.
    pub wanted: u16,
    /// Why it could not be had.
    pub reason: String,
}

impl fmt::Display for PortFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "port {} could not be had, using another one: {}",
            self.wanted, self.reason
        )
    }
}

/// Why a change of the port did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No port could be had; the client goes on with the one that it has.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The client is stopped.
    #[error("the client is stopped; start it first")]
    Stopped,
    /// The host has IPv6 by other means, with this address (RFC 4380 §5.5).
    #[error("the client is dormant, because the host has native IPv6: {0}")]
    Dormant(Ipv6Addr),
    /// Another change came before this one was settled.
    #[error("superseded by a later change of the port")]
    Superseded,
    /// The data path has ended.
    #[error("the data path has ended")]
    Ended,
}

pub(crate) type Reply = oneshot::Sender<Result<PortChange, ChangeError>>;

/// A change that was announced and waits to be settled.
#[derive(Debug)]
pub(crate) struct PendingChange {
    pub(crate) target: Target,
    pub(crate) fell_back: Option<PortFallback>,
    /// Who waits for it.
    pub(crate) replies: Vec<Reply>,
}

/// Where the change leads.
#[derive(Debug)]
pub(crate) enum Target {
    /// To this socket.
    Socket(ServiceSocket),
    /// To what is in use now: the old socket again, because what was announced meanwhile came to nothing, or no
    /// socket at all.
    Keep,
}

pub(crate) fn answer(reply: Reply, result: Result<PortChange, ChangeError>) {
    // Whoever asked may have lost interest.
    let _ = reply.send(result);
}

/// Binds `port`; 0 leaves the choice to the kernel.
pub(crate) fn open(
    address: Ipv4Addr,
    port: u16,
    offload: Offload,
) -> Result<ServiceSocket, BindError> {
    let mut socket = ServiceSocket::bind(address, port)?;
    if offload == Offload::Off {
        socket.disable_offloads();
    }
    Ok(socket)
}

/// Binds `port`, or any other where that one cannot be had: a client without its favourite port is of more use
/// than none (R4380-5.2-03, R4380-5.2.10-01, R4380-5.2.10-02, R6169-5.2-01).
pub(crate) fn bind(
    address: Ipv4Addr,
    port: Option<u16>,
    offload: Offload,
) -> Result<(ServiceSocket, Option<PortFallback>), BindError> {
    let Some(wanted) = port.filter(|&port| port != 0) else {
        return Ok((open(address, 0, offload)?, None));
    };
    match open(address, wanted, offload) {
        Ok(socket) => Ok((socket, None)),
        Err(error) => {
            let socket = open(address, 0, offload)?;
            let fallback = PortFallback {
                wanted,
                reason: error.to_string(),
            };
            tracing::warn!(port = socket.local().port(), "{fallback}");
            Ok((socket, Some(fallback)))
        }
    }
}
