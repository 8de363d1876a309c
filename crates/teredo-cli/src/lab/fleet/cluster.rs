//! A cluster of NATS, of Debian's package nats-server: certificates, the account, three servers, and their monitoring.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use teredo_lab::{Namespace, Process};

use super::plan::{self, HOSTS, SERVERS, SIDES, host_name};
use crate::lab::programs;

const START: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(1);
const STREAM: &str = "KV_teredo_ports";

/// The servers of the cluster.
pub(super) struct Cluster {
    processes: [Option<Process>; SERVERS.len()],
    namespaces: [Namespace; SERVERS.len()],
    folder: PathBuf,
}

/// The bucket, as the servers tell it.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The server that takes entries, by its number.
    pub(super) leader: usize,
    pub(super) replicas: u64,
    /// The servers that have all entries, with the leader.
    pub(super) current: usize,
}

impl Cluster {
    /// Writes all files, and starts the servers.
    pub(super) fn start(
        namespaces: [Namespace; SERVERS.len()],
        folder: PathBuf,
    ) -> anyhow::Result<Self> {
        grant(&folder)?;
        certify(&folder)?;
        let mut cluster = Self {
            processes: [const { None }; SERVERS.len()],
            namespaces,
            folder,
        };
        for (server, name) in SERVERS.into_iter().enumerate() {
            let file = cluster.folder.join(format!("{name}.conf"));
            let text = plan::configuration(server, &cluster.folder);
            std::fs::write(&file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
            cluster.start_server(server)?;
        }
        for process in cluster.processes.iter().flatten() {
            process.wait_for_line("Server is ready", START)?;
        }
        Ok(cluster)
    }

    pub(super) fn start_server(&mut self, server: usize) -> anyhow::Result<()> {
        let name = SERVERS[server];
        let program = programs::find("nats-server").context("there is no nats-server")?;
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(self.folder.join(format!("{name}.conf")));
        let process = Process::spawn(&self.namespaces[server], name, &mut command)?;
        self.processes[server] = Some(process);
        Ok(())
    }

    /// Kills a server (SIGKILL).
    pub(super) fn kill(&mut self, server: usize) -> anyhow::Result<()> {
        let process = self.processes[server].take();
        process.context("the server does not run")?.kill()?;
        Ok(())
    }

    /// The last lines of each server's log.
    pub(super) fn last_words(&self, count: usize) -> Vec<String> {
        let servers = SERVERS.iter().zip(&self.processes);
        let told = servers.map(|(name, process)| {
            let mut lines = process.as_ref().map(Process::lines).unwrap_or_default();
            let last = lines.split_off(lines.len().saturating_sub(count));
            format!("{name}: {}", last.join(" | "))
        });
        told.collect()
    }

    /// Takes the processes, to end them.
    pub(super) fn take(&mut self) -> Vec<Process> {
        self.processes.iter_mut().filter_map(Option::take).collect()
    }

    pub(super) fn runs(&self, server: usize) -> bool {
        self.processes[server].is_some()
    }

    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SERVERS.len()).filter(|server| self.runs(*server))
    }

    /// The leader of the cluster itself, which places streams and consumers; none: there is none now, or not all agree.
    pub(super) fn leader(&self) -> Option<usize> {
        let mut leaders = self.running().map(|server| {
            let answer = self.ask(server, "/jsz").ok()?;
            number(&answer["meta_cluster"]["leader"])
        });
        let first = leaders.next()??;
        leaders.all(|leader| leader == Some(first)).then_some(first)
    }

    /// The bucket, as its leader sees it; none: there is no leader now, or no bucket.
    pub(super) fn bucket(&self) -> Option<Bucket> {
        self.running().find_map(|server| {
            let answer = self
                .ask(server, "/jsz?accounts=true&streams=true&config=true")
                .ok()?;
            let mut accounts = answer["account_details"].as_array()?.iter();
            let stream = accounts.find_map(|account| {
                let mut streams = account["stream_detail"].as_array()?.iter();
                streams.find(|stream| stream["name"] == STREAM)
            })?;
            let group = &stream["cluster"];
            // The others only repeat what they have heard.
            let leader = number(&group["leader"]).filter(|leader| *leader == server)?;
            let others = group["replicas"].as_array().into_iter().flatten();
            let is_current =
                |replica: &&Value| replica["current"] == true && replica["offline"] != true;
            Some(Bucket {
                leader,
                replicas: stream["config"]["num_replicas"].as_u64()?,
                current: 1 + others.filter(is_current).count(),
            })
        })
    }

    /// An answer of a server's monitoring.
    fn ask(&self, server: usize, path: &str) -> anyhow::Result<Value> {
        let answer = self.namespaces[server].run(|| {
            let mut stream = TcpStream::connect("127.0.0.1:8222")?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        })??;
        let body = answer.split_once("\r\n\r\n").context("no answer")?.1;
        Ok(serde_json::from_str(body)?)
    }
}

fn number(name: &Value) -> Option<usize> {
    SERVERS.iter().position(|server| *name == **server)
}

/// The account, and a key for each host and perimeter: `teredo publish nats-config`.
fn grant(folder: &Path) -> anyhow::Result<()> {
    let mut words = ["publish", "nats-config"].map(str::to_owned).to_vec();
    let hosts = (0..HOSTS).map(|host| ("--host", host_name(host)));
    let perimeters = SIDES.map(|side| ("--perimeter", side.perimeter().to_owned()));
    for (option, name) in hosts.chain(perimeters) {
        words.extend([option.to_owned(), name]);
    }
    words.extend(["--dir".to_owned(), folder.display().to_string()]);
    succeed(&mut crate::lab::network::command(None, &words)?)
}

/// An authority, and a certificate of each server.
fn certify(folder: &Path) -> anyhow::Result<()> {
    let program = programs::find("openssl").context("there is no openssl")?;
    let openssl = |more: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(more)
            .current_dir(folder);
        succeed(&mut command)
    };
    openssl(&["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=fleet"])?;
    for (server, name) in SERVERS.into_iter().enumerate() {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let address = format!("subjectAltName=IP:{}", plan::server_address(server));
        openssl(&[
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            &address,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = Path::new(command.get_program()).to_owned();
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
