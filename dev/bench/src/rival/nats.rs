//! `nats-server` on loopback, and as much of its text protocol as it takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{await_server, require};
use crate::announcer::Announcer;
use crate::process::Owned;
use crate::recorder::Recorder;
use crate::{clock, system};

const SUBJECT: &str = "teredo.port";

/// A server of our own on a port of the system's choice, which is returned.
pub(crate) fn start(folder: &Path) -> Result<(Owned, u16)> {
    require("nats-server", "nats-server")?;
    let mut server = Owned::start(
        Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    let file = folder.join(format!("nats-server_{}.ports", server.id()));
    let port = await_server("nats-server", &mut server, || {
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
    })?;
    Ok((server, port))
}

/// A client that has said hello.
struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// Connects and subscribes so many times; the server knows of it when this returns.
    fn open(port: u16, subscriptions: usize) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("no NATS server")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut connection = Self {
            writer: stream.try_clone()?,
            reader: BufReader::with_capacity(64 * 1024, stream),
        };
        let mut hello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_owned();
        for id in 1..=subscriptions {
            hello.push_str(&format!("SUB {SUBJECT} {id}\r\n"));
        }
        hello.push_str("PING\r\n");
        connection.writer.write_all(hello.as_bytes())?;
        let mut line = String::new();
        while line != "PONG\r\n" {
            ensure!(!line.starts_with("-ERR"), "NATS: {line}");
            line.clear();
            ensure!(connection.reader.read_line(&mut line)? > 0, "NATS hung up");
        }
        connection.writer.set_read_timeout(None)?;
        Ok(connection)
    }

    /// Reads until the server hangs up; `message` is called for each message.
    fn read(mut self, mut message: impl FnMut()) -> Result<()> {
        let (mut line, mut payload) = (String::new(), Vec::new());
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.starts_with("MSG ") {
                let length = line.trim_end().rsplit(' ').next().unwrap_or_default();
                payload.resize(length.parse::<usize>()? + 2, 0);
                self.reader.read_exact(&mut payload)?;
                message();
            } else if line == "PING\r\n" {
                self.writer.write_all(b"PONG\r\n")?;
            }
        }
    }
}

/// Publishes.
pub(crate) struct Publisher {
    writer: TcpStream,
    announced_at: u64,
}

impl Publisher {
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let connection = Connection::open(port, 0)?;
        let writer = connection.writer.try_clone()?;
        thread::Builder::new()
            .name("nats-pongs".to_owned())
            .spawn(move || connection.read(|| {}))?;
        Ok(Self {
            writer,
            announced_at: 0,
        })
    }
}

impl Announcer for Publisher {
    fn announce(&mut self, sequence: u64) -> Result<()> {
        let payload = system::message(sequence);
        let message = format!("PUB {SUBJECT} {}\r\n{payload}\r\n", payload.len());
        self.announced_at = clock::now();
        Ok(self.writer.write_all(message.as_bytes())?)
    }

    fn announced_at(&self) -> u64 {
        self.announced_at
    }
}

pub(crate) fn receive(port: u16, recorder: Arc<Recorder>) -> Result<()> {
    let connection = Connection::open(port, recorder.registrations())?;
    thread::Builder::new()
        .name("nats".to_owned())
        .spawn(move || connection.read(|| recorder.heard()))?;
    Ok(())
}
