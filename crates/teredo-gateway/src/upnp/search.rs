//! The search for the router's device (SSDP), among others that answer.
//!
//! `igd-next` ends a search with the first device that answers it, whoever that is. So its questions go to a socket of ours,
//! which hands them on to the router and to everybody, and hands back what the router says, and nobody else:
//!
//! ```text
//!  igd-next ── M-SEARCH ──> socket ──┬──> the router
//!     ^                       │ ^    └──> 239.255.255.250
//!     └────── the router's ───┘ └──────── answers
//! ```

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{SearchError, SearchOptions};
use tokio::net::UdpSocket;

use crate::mapping::Wanted;

/// Where devices listen (SSDP).
const SSDP: u16 = 1900;
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// No datagram of SSDP is longer.
const LONGEST: usize = 1500;

/// Finds the device of the router.
pub(super) async fn search(wanted: Wanted, limit: Duration) -> Result<Gateway<Tokio>, SearchError> {
    let own = *wanted.local.ip();
    let socket = UdpSocket::bind((own, 0)).await?;
    let mut options = SearchOptions::default();
    options.bind_addr = (own, 0).into();
    options.broadcast_address = socket.local_addr()?;
    options.timeout = Some(limit);
    options.allowed_gateway_ips = vec![wanted.gateway.into()];
    tokio::select! {
        found = search_gateway(options) => found,
        error = hand_on(&socket, wanted) => Err(error.into()),
    }
}

/// Ends only with an error.
async fn hand_on(socket: &UdpSocket, wanted: Wanted) -> io::Error {
    let mut asker = None;
    let mut buffer = [0; LONGEST];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // The report of a datagram before.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            Err(error) => return error,
        };
        let text = &buffer[..length];
        if from.ip() == IpAddr::V4(wanted.gateway) {
            if let Some(asker) = asker {
                // It has given up, or reads the next one.
                let _ = socket.send_to(text, asker).await;
            }
        } else if from.ip() == IpAddr::V4(*wanted.local.ip())
            && from == *asker.get_or_insert(from)
            && let Err(error) = ask(socket, text, wanted.gateway).await
        {
            return error;
        }
    }
}

/// UPnP 1.1 answers a question that is for one device. The answer then passes this host's firewall, which knows nothing of
/// multicast. Older devices answer the multicast alone.
async fn ask(socket: &UdpSocket, text: &[u8], router: Ipv4Addr) -> io::Result<()> {
    let host = socket.local_addr()?.to_string();
    let text = String::from_utf8_lossy(text);
    let mut failures = Vec::new();
    for to in [router, SSDP_GROUP].map(|to| SocketAddr::from((to, SSDP))) {
        let text = text.replacen(&host, &to.to_string(), 1);
        if let Err(error) = socket.send_to(text.as_bytes(), to).await {
            tracing::debug!(%error, %to, "a search does not leave");
            failures.push(error);
        }
    }
    // A host without a way for multicast may still ask the router, and the other way round.
    let blocked = (failures.iter()).position(|error| error.kind() == ErrorKind::PermissionDenied);
    match failures.len() {
        2 => Err(failures.swap_remove(blocked.unwrap_or(0))),
        _ => Ok(()),
    }
}
