//! `teredo probe`: what a Teredo server answers, and what is between it and this host. It needs no privilege and no
//! service.
//!
//! ```text
//!  run, run_for ──> names: the server's addresses
//!         │    ──> core: what to ask, what was answered         no I/O; sockets are around it
//!         │          └──> judge: is the advertisement good?
//!         │    ──> nat: what the answers show, and what not
//!         └────> report ──> JSON, text, drawing
//! ```

mod core;
mod drawing;
pub(crate) mod finding;
mod judge;
mod lifetime;
pub(crate) mod nat;
mod report;
mod sockets;
mod text;

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use teredo::ServerAddress;
use teredo_node::ServerName;
use teredo_tunnel::clock;

pub(crate) use report::Report;

use crate::args::ProbeArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};
use crate::text::plain;
use core::{Core, Own};
use finding::Finding;
use lifetime::Search;
use sockets::Sockets;

/// The answer comes within two seconds, the start and the end of the process included.
const PATIENCE: Duration = Duration::from_millis(1800);
/// A probe takes so long at least, however long the name service took.
const SHORTEST: Duration = Duration::from_millis(600);

/// Probes a server and prints the report; [`Exit::NotReady`] if a client would not qualify, [`Exit::Failed`] if nothing
/// answers.
pub(crate) fn run(args: &ProbeArgs, output: &mut Output) -> Result<Exit, Failure> {
    let server = ServerName::from(args.server.as_str());
    let mut report = run_for(&server, PATIENCE)
        .map_err(|error| Failure::new(Exit::Failed, "cannot ask the server").because(error))?;
    if args.lifetime {
        measure(&mut report).map_err(|error| {
            Failure::new(Exit::Failed, "cannot measure the lifetime").because(error)
        })?;
    }
    if args.json {
        output.json(&report)?;
    } else {
        output.line(text::Text(&report))?;
    }
    Ok(match (report.answers, report.qualifies) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Done,
        (true, false) => Exit::NotReady,
    })
}

/// Probes a server within that time. Other commands use it as well: it prints nothing.
///
/// # Errors
/// The kernel refuses sockets or randomness. Whatever a server or the network does is in the report.
pub(crate) fn run_for(server: &ServerName, patience: Duration) -> io::Result<Report> {
    let start = clock::now();
    let name = plain(server.as_str());
    let address = match look_up(server, patience.saturating_sub(SHORTEST)) {
        Ok(address) => address,
        Err(finding) => return Ok(Report::without_server(&name, finding)),
    };
    if let Some(finding) = impossible(address) {
        return Ok(Report::without_server(&name, finding).with_addresses(address));
    }
    let local = match sockets::local_address(address.primary) {
        Ok(local) => local,
        Err(error) => {
            let text = format!("this host has no route to {}: {error}", address.primary);
            let finding = finding::SERVER_UNREACHABLE.found(text);
            return Ok(Report::without_server(&name, finding).with_addresses(address));
        }
    };
    let sockets = Sockets::open(Own::ALL.len())?;
    let locals = sockets.locals(local)?;
    let [a, b, c, d] = locals[..] else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let now = clock::now();
    let end = (start + patience).max(now + SHORTEST);
    let mut core = Core::new(now, end, seed()?, address, [a, b, c, d]);
    sockets.run(&mut core)?;
    Ok(Report::new(&name, core))
}

/// Measures how long a mapping lives, with progress on standard error.
fn measure(report: &mut Report) -> io::Result<()> {
    let (Some(primary), Some(local)) = (report.primary, report.local) else {
        report.lifetime_unknown = Some("there is no server");
        return Ok(());
    };
    if primary.mapped.is_none() {
        report.lifetime_unknown = Some("the primary address does not answer");
        return Ok(());
    }
    if primary.mapped == Some(local) {
        report.lifetime_unknown = Some("there is no NAT");
        return Ok(());
    }
    narrate("measuring the lifetime of a mapping; this takes five minutes at most");
    let sockets = Sockets::open(1 + lifetime::RESTS.len())?;
    let locals = sockets.locals(*local.ip())?;
    let Some(mut search) = Search::new(clock::now(), seed()?, primary.address, &locals) else {
        return Ok(());
    };
    sockets.run(&mut search)?;
    match search.result() {
        Ok(found) => report.lifetime_s = Some(found),
        Err(reason) => report.lifetime_unknown = Some(reason),
    }
    Ok(())
}

/// The first server behind a name. getaddrinfo cannot be cancelled, so it runs on a thread of its own.
fn look_up(server: &ServerName, patience: Duration) -> Result<ServerAddress, Finding> {
    if let Some(address) = server.address() {
        return Ok(address);
    }
    let name = plain(server.as_str());
    let (sender, answers) = mpsc::channel();
    let asked = server.clone();
    thread::spawn(move || {
        // The receiver may be gone.
        let _ = sender.send(asked.look_up());
    });
    let Ok(answer) = answers.recv_timeout(patience) else {
        return Err(
            finding::NAME_SILENT.found(format!("the name service does not answer for '{name}'"))
        );
    };
    let servers = answer.map_err(|error| {
        let text = error.to_string();
        let text = text.rsplit(": ").next().unwrap_or(&text);
        // EAI_AGAIN; the standard library has no name for it.
        if text.contains("emporary failure") {
            finding::NAME_SILENT.found(format!(
                "the name service does not answer for '{name}': {text}"
            ))
        } else {
            finding::NAME_UNKNOWN.found(format!("'{name}' has no IPv4 address: {text}"))
        }
    })?;
    let none = || finding::NAME_UNKNOWN.found(format!("'{name}' has no IPv4 address"));
    servers.first().copied().ok_or_else(none)
}

/// An address to which nothing may be sent.
fn impossible(address: ServerAddress) -> Option<Finding> {
    let ServerAddress { primary, secondary } = address;
    let found = [primary, secondary].into_iter().find(|address| {
        address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast()
    })?;
    Some(finding::ADDRESS_IMPOSSIBLE.found(format!("{found} cannot be the address of a server")))
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    // Up to 256 bytes are returned in full or not at all (getrandom(2)).
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(seed)
}
