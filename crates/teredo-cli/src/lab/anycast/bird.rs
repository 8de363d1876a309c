//! BIRD, of Debian's package bird2: a daemon on each router and host, and its control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use teredo_lab::{Namespace, Process};

use crate::lab::programs;

const PATIENCE: Duration = Duration::from_secs(5);

/// A running BIRD.
#[derive(Debug)]
pub(super) struct Bird {
    _process: Process,
    socket: PathBuf,
}

/// The program by its path, or none.
pub(super) fn program() -> Option<PathBuf> {
    programs::find("bird")
}

impl Bird {
    /// Starts it with a configuration; its files are in `folder`.
    pub(super) fn start(
        namespace: &Namespace,
        name: &str,
        configuration: &str,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let program = program().context("there is no bird")?;
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        let (settings, socket) = (file("conf"), file("ctl"));
        std::fs::write(&settings, configuration)
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let mut command = Command::new(program);
        command
            .arg("-f")
            .arg("-c")
            .arg(settings)
            .arg("-s")
            .arg(&socket)
            .arg("-P")
            .arg(file("pid"));
        let process = Process::spawn(namespace, &format!("BIRD of {name}"), &mut command)?;
        let bird = Self {
            _process: process,
            socket,
        };
        let answers = teredo_lab::until(PATIENCE, format_args!("BIRD of {name}"), || {
            bird.ask("show status").ok()
        });
        answers.with_context(|| bird._process.lines().join("; "))?;
        Ok(bird)
    }

    /// The lines of an answer, without their codes.
    pub(super) fn ask(&self, question: &str) -> anyhow::Result<Vec<String>> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(&stream).lines();
        let greeting = lines.next().context("BIRD says nothing")??;
        ensure!(greeting.starts_with("0001"), "BIRD says {greeting}");
        writeln!(&stream, "{question}")?;
        let mut answer = Vec::new();
        for line in lines {
            let line = line?;
            // A code and a hyphen, or a space before a line that goes on; the last line has a code and a space.
            match line.split_at_checked(5) {
                Some((code, rest)) if code.ends_with(' ') && code[..4].parse::<u16>().is_ok() => {
                    let code: u16 = code[..4].parse()?;
                    ensure!(code < 8000, "BIRD refuses '{question}': {rest}");
                    answer.push(rest.to_owned());
                    return Ok(answer);
                }
                Some((code, rest)) if code.ends_with('-') => answer.push(rest.to_owned()),
                _ => answer.push(line.trim_start().to_owned()),
            }
        }
        anyhow::bail!("BIRD's answer to '{question}' ends early")
    }

    /// The interface that packets to a network leave by; none without a route.
    pub(super) fn way(&self, network: &str) -> anyhow::Result<Option<String>> {
        let answer = self.ask(&format!("show route {network} primary"));
        // A network without routes is an error.
        let lines = match answer {
            Ok(lines) => lines,
            Err(error) if error.to_string().contains("not found") => return Ok(None),
            Err(error) => return Err(error),
        };
        let way = lines.iter().find_map(|line| line.split(" on ").nth(1));
        Ok(way.map(|way| way.trim().to_owned()))
    }

    /// Whether all BGP sessions and their BFD sessions are up, of which there are so many.
    pub(super) fn is_settled(&self, sessions: usize) -> anyhow::Result<bool> {
        let established = self.ask("show protocols")?;
        let established = established
            .iter()
            .filter(|line| line.contains("Established"));
        let alive = self.ask("show bfd sessions")?;
        let alive = alive
            .iter()
            .filter(|line| line.split_whitespace().any(|word| word == "Up"));
        Ok(established.count() == sessions && alive.count() == sessions)
    }
}
