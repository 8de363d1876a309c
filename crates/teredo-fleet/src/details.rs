//! The addresses of the local node, which its port's announcement does not tell.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use teredo_notify::call::{CallError, Caller};
use teredo_notify::types::EventName;
use tokio::sync::watch;

/// How often a service that is not there is looked for.
const RETRY: Duration = Duration::from_millis(250);

/// How long the service may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// The addresses of a node, and the port that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) address: Option<Ipv6Addr>,
    pub(crate) local: Option<SocketAddrV4>,
    pub(crate) mapped: Option<SocketAddrV4>,
}

/// Follows the node behind this socket, in a thread that ends some time after the receiver.
pub(crate) fn follow(socket: &Path) -> std::io::Result<watch::Receiver<Details>> {
    let (sender, receiver) = watch::channel(Details::default());
    let socket = socket.to_owned();
    std::thread::Builder::new()
        .name(String::from("details"))
        .spawn(move || run(socket, &sender))?;
    Ok(receiver)
}

fn run(socket: PathBuf, sender: &watch::Sender<Details>) {
    while !sender.is_closed() {
        // The gate tells that its port is gone. The next one may be on another network.
        let _ = listen(&socket, sender);
        sender.send_if_modified(|known| std::mem::take(known) != Details::default());
        std::thread::sleep(RETRY);
    }
}

/// Ends with the service.
fn listen(socket: &Path, sender: &watch::Sender<Details>) -> Result<(), CallError> {
    let mut asking = Caller::open_within(socket, LIMIT)?;
    for event in Caller::open(socket)?.monitor(&[EventName::Port, EventName::State])? {
        event?;
        if sender.is_closed() {
            break;
        }
        let status = asking.get_status()?;
        let details = Details {
            address: status.address,
            local: status.local,
            mapped: status.mapped,
        };
        sender.send_if_modified(|known| std::mem::replace(known, details) != details);
    }
    Ok(())
}
