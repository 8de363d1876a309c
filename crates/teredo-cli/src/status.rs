//! `teredo status`: the nodes of this host, as text or as the versioned JSON object.

mod block;
pub(crate) mod carrier;
mod peers;
pub(crate) mod rate;
pub(crate) mod reach;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use teredo_notify::types::{Peer, Phase, Role, Status};

use crate::args::StatusArgs;
use crate::failure::{Exit, Failure};
use crate::fleet::{self, report::PERIMETER_SOCKET};
use crate::output::{Output, narrate};
use crate::service;
pub(crate) use block::router_in_words;

use block::Block;
#[cfg(test)]
pub(crate) use peers::HEADINGS;
use peers::Table;
use rate::Rates;
use reach::Reach;

/// Nodes of one host that are shown without being asked for.
const MAX_NODES: usize = 16;

/// The link that `systemctl enable` makes for a perimeter.
const PERIMETER_ENABLED: &str =
    "/etc/systemd/system/multi-user.target.wants/teredo-perimeter.service";

/// To the upper left corner, and empties the screen from there.
const HOME: &str = "\x1b[H\x1b[J";

/// Prints the status; [`Exit::NotReady`] if the node is not qualified. Without a chosen socket, it shows every node that
/// has its socket in the usual folder, and JSON of the first.
pub(crate) fn run(
    args: &StatusArgs,
    chosen: Option<&Path>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let sockets = match chosen {
        Some(socket) => vec![socket.to_owned()],
        None => sockets(),
    };
    let mut before = None;
    loop {
        let seen = match Seen::look(&sockets, args.peers) {
            Ok(seen) => seen,
            // It may come back.
            Err(failure) if args.watch.is_some() && failure.exit() == Exit::Unreachable => {
                narrate(failure);
                thread::sleep(args.watch.unwrap_or_default());
                before = None;
                continue;
            }
            Err(failure) => {
                // A firewall at the perimeter has no node.
                let socket = chosen.unwrap_or_else(|| Path::new(PERIMETER_SOCKET));
                let Some(perimeter) = fleet::report::ask(socket) else {
                    let is_perimeter = chosen.is_none() && Path::new(PERIMETER_ENABLED).exists();
                    return Err(if is_perimeter {
                        failure
                            .hint("this host is a perimeter: 'systemctl status teredo-perimeter'")
                    } else {
                        failure
                    });
                };
                return perimeter.print(args.json, output);
            }
        };
        if args.json {
            output.json(&seen.nodes[0])?;
        } else {
            if args.watch.is_some() && std::io::stdout().is_terminal() {
                output.bytes(HOME.as_bytes())?;
            }
            output.line(seen.text(before.as_ref()))?;
            if chosen.is_none()
                && let Some(perimeter) = fleet::report::ask(Path::new(PERIMETER_SOCKET))
            {
                output.line("")?;
                perimeter.print(false, output)?;
            }
        }
        let Some(period) = args.watch else {
            return Ok(seen.exit());
        };
        thread::sleep(period);
        before = Some(seen);
    }
}

/// The status as plain text without styles.
pub(crate) fn text(status: &Status, now: SystemTime) -> String {
    let styled = Block::new(status, now, None).to_string();
    anstream::adapter::strip_str(&styled).to_string()
}

/// The status of the node at the chosen socket, or of the first that answers in the usual folder.
pub(crate) fn first(chosen: Option<&Path>) -> Result<Status, Failure> {
    let sockets = match chosen {
        Some(socket) => vec![socket.to_owned()],
        None => sockets(),
    };
    let mut seen = Seen::look(&sockets, false)?;
    Ok(seen.nodes.swap_remove(0).status)
}

/// The chosen socket, or that of the first node that answers in the usual folder, or the usual one.
pub(crate) fn first_socket(chosen: Option<&Path>) -> PathBuf {
    let usual = || PathBuf::from(teredo_notify::DEFAULT_SOCKET);
    chosen.map(Path::to_owned).unwrap_or_else(|| {
        let mut sockets = sockets().into_iter();
        let answering = sockets.find(|socket| service::status(socket).is_ok());
        answering.unwrap_or_else(usual)
    })
}

/// The sockets of this host's nodes: the client's or relay's first.
fn sockets() -> Vec<PathBuf> {
    let first = PathBuf::from(teredo_notify::DEFAULT_SOCKET);
    let folder = first
        .parent()
        .and_then(|folder| std::fs::read_dir(folder).ok());
    let others = folder
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let is_other =
        |path: &PathBuf| *path != first && path.extension().is_some_and(|end| end == "sock");
    let is_node = |path: &PathBuf| path != Path::new(PERIMETER_SOCKET);
    let mut others: Vec<_> = others.filter(is_other).filter(is_node).collect();
    others.sort();
    std::iter::once(first)
        .chain(others)
        .take(MAX_NODES)
        .collect()
}

/// The nodes at one moment.
struct Seen {
    at: Instant,
    /// At least one.
    nodes: Vec<Node>,
}

/// In JSON, the object of schema `teredo.status/1`, with who is reached from behind a symmetric NAT, and the list if it was
/// asked for.
#[derive(Serialize)]
struct Node {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<Reach>,
    #[serde(rename = "peer_list", skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Peer>>,
}

impl Seen {
    /// Fails like the first socket if no node answers.
    fn look(sockets: &[PathBuf], with_peers: bool) -> Result<Self, Failure> {
        let mut failure = None;
        let mut nodes = Vec::new();
        for socket in sockets {
            match Node::look(socket, with_peers) {
                Ok(node) => nodes.push(node),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(failure) if nodes.is_empty() => Err(failure),
            _ => Ok(Self {
                at: Instant::now(),
                nodes,
            }),
        }
    }

    fn exit(&self) -> Exit {
        if self.nodes[0].status.state == Phase::Qualified {
            Exit::Done
        } else {
            Exit::NotReady
        }
    }

    fn text(&self, before: Option<&Self>) -> String {
        let elapsed = before.map(|before| self.at - before.at);
        let blocks = self.nodes.iter().map(|node| {
            let earlier = before.and_then(|before| before.same(node));
            node.text(earlier.zip(elapsed))
        });
        blocks.collect::<Vec<_>>().join("\n\n")
    }

    /// The node that was this one before.
    fn same(&self, node: &Node) -> Option<&Node> {
        let key = |node: &Node| (node.status.role, node.status.interface.clone());
        self.nodes.iter().find(|other| key(other) == key(node))
    }
}

impl Node {
    fn look(socket: &Path, with_peers: bool) -> Result<Self, Failure> {
        let status = service::status(socket)?;
        let has_list = with_peers && status.role == Role::Client;
        Ok(Self {
            peers: has_list.then(|| service::peers(socket)).transpose()?,
            reach: Reach::of(&status),
            status,
        })
    }

    fn text(&self, before: Option<(&Self, Duration)>) -> String {
        let rates = before.map(|(before, elapsed)| {
            Rates::between(&before.status.counters, &self.status.counters, elapsed)
        });
        let mut text = Block::new(&self.status, SystemTime::now(), rates).to_string();
        if let Some(peers) = &self.peers {
            let before = before.and_then(|(node, elapsed)| Some((node.peers.as_deref()?, elapsed)));
            text += &format!("\n\n{}", Table::new(peers, before));
        }
        text
    }
}
