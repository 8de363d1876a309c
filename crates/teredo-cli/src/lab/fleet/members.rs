//! The processes of the fleet: a client and a publisher on each host, a firewall at each perimeter, and the Teredo server.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use teredo_lab::{Namespace, Process};
use teredo_notify::call::Caller;
use teredo_notify::types::Status;

use super::network::Network;
use super::plan::{HOSTS, SIDES, Side, host_address, host_name, urls};
use super::ruleset::SET;
use crate::fleet::report;
use crate::lab::network::command;

const START: Duration = Duration::from_secs(10);
/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(5);

/// The processes, and where their files are.
pub(super) struct Members {
    hosts: Vec<Member>,
    perimeters: [Option<Process>; 2],
    teredo: Option<Process>,
    folder: PathBuf,
}

/// The processes of a host.
#[derive(Default)]
struct Member {
    client: Option<Process>,
    publisher: Option<Process>,
}

impl Members {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            hosts: (0..HOSTS).map(|_| Member::default()).collect(),
            perimeters: [None, None],
            teredo: None,
            folder,
        }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.sock"))
    }

    /// The options that let a member use the cluster.
    fn rights(&self, name: &str) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let (creds, authority) = (file(&format!("{name}.nk")), file("ca.pem"));
        ["--creds", &creds, "--ca", &authority]
            .map(str::to_owned)
            .to_vec()
    }

    pub(super) fn start_teredo(&mut self, network: &Network) -> anyhow::Result<()> {
        let mut words = vec!["server".to_owned()];
        for side in SIDES {
            words.extend(["--address".to_owned(), side.server().to_string()]);
        }
        let socket = self.socket("server");
        let process = spawn(&network.world, "the Teredo server", &socket, &words)?;
        process.wait_for_line("serving", START)?;
        self.teredo = Some(process);
        Ok(())
    }

    pub(super) fn start_perimeter(&mut self, network: &Network, side: Side) -> anyhow::Result<()> {
        let name = side.perimeter();
        let (urls, set) = (urls(), SET);
        // A breach quotes the log, in which nothing may be left out.
        let mut words = [
            "--verbose",
            "firewall",
            "--fleet",
            &urls,
            "--set",
            set,
            "--name",
            name,
        ]
        .map(str::to_owned)
        .to_vec();
        words.extend(self.rights(name));
        for host in 0..HOSTS {
            let grant = format!("{}={}/32", host_name(host), host_address(host));
            words.extend(["--network".to_owned(), grant]);
        }
        let process = spawn(network.perimeter(side), name, &self.socket(name), &words)?;
        self.perimeters[side as usize] = Some(process);
        Ok(())
    }

    pub(super) fn kill_perimeter(&mut self, side: Side) -> anyhow::Result<()> {
        let process = self.perimeters[side as usize].take();
        process.context("the perimeter does not run")?.kill()?;
        Ok(())
    }

    /// The last lines of a perimeter's log.
    pub(super) fn last_words(&self, side: Side, count: usize) -> Vec<String> {
        last_lines(self.perimeters[side as usize].as_ref(), count)
    }

    /// The last lines of a publisher's log.
    pub(super) fn last_words_of(&self, host: usize, count: usize) -> Vec<String> {
        last_lines(self.hosts[host].publisher.as_ref(), count)
    }

    /// The status of a perimeter, by itself; none while it does not run.
    pub(super) fn perimeter_status(&self, side: Side) -> Option<Value> {
        report::ask(&self.socket(side.perimeter())).map(report::Report::into_json)
    }

    /// Whether both perimeters follow the bucket, and the kernel has all of it.
    pub(super) fn are_following(&self) -> bool {
        SIDES.into_iter().all(|side| {
            self.perimeter_status(side)
                .is_some_and(|status| status["following"] == true && status["in_step"] == true)
        })
    }

    /// Starts the publisher of a host, with a lease of its own or that of the bucket.
    pub(super) fn start_publisher(
        &mut self,
        network: &Network,
        host: usize,
        lease: Option<Duration>,
    ) -> anyhow::Result<()> {
        let (name, urls) = (host_name(host), urls());
        let mut words = ["--verbose", "publish", "--nats", &urls, "--host", &name]
            .map(str::to_owned)
            .to_vec();
        words.extend(self.rights(&name));
        for side in SIDES {
            words.extend(["--perimeter".to_owned(), side.perimeter().to_owned()]);
        }
        if let Some(lease) = lease {
            words.extend(["--lease".to_owned(), lease.as_secs().to_string()]);
        }
        let title = format!("the publisher of {name}");
        let process = spawn(&network.hosts[host], &title, &self.socket(&name), &words)?;
        self.hosts[host].publisher = Some(process);
        Ok(())
    }

    pub(super) fn start_client(&mut self, network: &Network, host: usize) -> anyhow::Result<()> {
        let name = host_name(host);
        let server = Side::of(host).server().to_string();
        // The path in the kernel is another lab's matter, and takes its time to load.
        let words = ["client", "--server", &server, "--data-path", "user"].map(str::to_owned);
        let title = format!("the client of {name}");
        let process = spawn(&network.hosts[host], &title, &self.socket(&name), &words)?;
        self.hosts[host].client = Some(process);
        Ok(())
    }

    /// Kills the publisher of a host (SIGKILL).
    pub(super) fn kill_publisher(&mut self, host: usize) -> anyhow::Result<()> {
        let process = self.hosts[host].publisher.take();
        process.context("the publisher does not run")?.kill()?;
        Ok(())
    }

    /// Kills the client of a host (SIGKILL).
    pub(super) fn kill_client(&mut self, host: usize) -> anyhow::Result<()> {
        let process = self.hosts[host].client.take();
        process.context("the client does not run")?.kill()?;
        Ok(())
    }

    /// The publisher of a host.
    pub(super) fn publisher(&self, host: usize) -> anyhow::Result<&Process> {
        let process = self.hosts[host].publisher.as_ref();
        process.context("the publisher does not run")
    }

    /// A connection to the client of a host.
    pub(super) fn caller(&self, host: usize) -> anyhow::Result<Caller> {
        Ok(Caller::open(&self.socket(&host_name(host)))?)
    }

    /// The status of the client of a host; none while it does not answer.
    pub(super) fn status(&self, host: usize) -> Option<Status> {
        self.caller(host).ok()?.get_status().ok()
    }

    /// The endpoint of a host, as its client has it; none without a port.
    pub(super) fn endpoint(&self, host: usize) -> Option<SocketAddrV4> {
        let port = self.status(host)?.port;
        (port != 0).then(|| SocketAddrV4::new(host_address(host), port))
    }

    /// Ends all processes as a shutdown does: those that publish first.
    pub(super) fn end(
        &mut self,
        mut emptied: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let publishers = self
            .hosts
            .iter_mut()
            .filter_map(|host| host.publisher.take());
        let mut ended = end(publishers.collect(), Signal::TERM)?;
        // While both firewalls run: the sets are empty because the entries are gone.
        emptied()?;
        let clients = self.hosts.iter_mut().filter_map(|host| host.client.take());
        ended += end(clients.collect(), Signal::TERM)?;
        let perimeters = self.perimeters.iter_mut().filter_map(Option::take);
        ended += end(perimeters.chain(self.teredo.take()).collect(), Signal::TERM)?;
        Ok(ended)
    }
}

/// Ends processes by a signal at the same time, and says how many.
pub(super) fn end(processes: Vec<Process>, signal: Signal) -> anyhow::Result<usize> {
    for process in &processes {
        process.signal(signal)?;
    }
    for process in &processes {
        let status = process.wait(END)?;
        ensure!(
            status.success(),
            "{} ended with {status}: {}",
            process.name(),
            process.lines().pop().unwrap_or_default()
        );
    }
    Ok(processes.len())
}

fn spawn(
    namespace: &Namespace,
    name: &str,
    socket: &Path,
    words: &[String],
) -> anyhow::Result<Process> {
    let mut command = command(Some(socket), words)?;
    Ok(Process::spawn(namespace, name, &mut command)?)
}

fn last_lines(process: Option<&Process>, count: usize) -> Vec<String> {
    let mut lines = process.map(Process::lines).unwrap_or_default();
    lines.split_off(lines.len().saturating_sub(count))
}
