//! `dbus-daemon` on a bus of our own, and as much of the D-Bus protocol as it takes.
//!
//! The bus brings a signal to each connection once, however many in that process have asked for it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{await_server, require};
use crate::announcer::Announcer;
use crate::process::Owned;
use crate::recorder::Recorder;
use crate::{clock, system};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const INTERFACE: &str = "org.example.Teredo";
const MEMBER: &str = "PortChanged";

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A bus of our own, without limits that this could meet.
pub(crate) fn start(folder: &Path) -> Result<Owned> {
    require("dbus-daemon", "dbus-daemon")?;
    let socket = system::dbus(folder);
    let configuration = format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_completed_connections">10000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">10000</limit>
</busconfig>
"#,
        socket.display()
    );
    let file = folder.join("dbus.conf");
    std::fs::write(&file, configuration).context("cannot write the configuration")?;
    let mut option = std::ffi::OsString::from("--config-file=");
    option.push(&file);
    let mut server = Owned::start(
        Command::new("dbus-daemon")
            .arg(option)
            .args(["--nofork", "--nopidfile"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It complains of a low limit of open files, and goes on.
            .stderr(Stdio::null()),
    )?;
    await_server("dbus-daemon", &mut server, || {
        UnixStream::connect(&socket).ok()
    })?;
    Ok(server)
}

struct Message {
    kind: u8,
    fields: Vec<u8>,
}

/// A connection that has a name on the bus.
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn open(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).context("no bus")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut this = Self(BufReader::with_capacity(64 * 1024, stream));
        let user = rustix::process::geteuid().as_raw().to_string();
        let hex: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
        this.write(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut line = String::new();
        this.0.read_line(&mut line)?;
        ensure!(line.starts_with("OK "), "D-Bus refuses: {line}");
        this.write(b"BEGIN\r\n")?;
        this.call("Hello", None)?;
        Ok(this)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }

    /// Calls a method of the bus and waits for its reply.
    fn call(&mut self, member: &str, argument: Option<&str>) -> Result<()> {
        let mut fields = vec![(1, b'o', BUS_PATH), (2, b's', BUS), (3, b's', member)];
        fields.push((6, b's', BUS));
        let mut body = Vec::new();
        if let Some(argument) = argument {
            fields.push((8, b'g', "s"));
            string(&mut body, argument);
        }
        self.write(&message(METHOD_CALL, 1, &fields, &body))?;
        loop {
            match self.read()?.kind {
                METHOD_RETURN => return Ok(()),
                ERROR => bail!("D-Bus refuses {member}"),
                _ => {}
            }
        }
    }

    fn read(&mut self) -> Result<Message> {
        let mut head = [0; 16];
        self.0.read_exact(&mut head)?;
        let word = |at: usize| -> Result<usize> {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            Ok(usize::try_from(u32::from_le_bytes(bytes))?)
        };
        ensure!(head[0] == b'l', "a message of the other byte order");
        let (body, fields) = (word(4)?, word(12)?);
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        self.0.read_exact(&mut rest)?;
        rest.truncate(fields);
        Ok(Message {
            kind: head[1],
            fields: rest,
        })
    }
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// A message of the little byte order; fields are code, type and value.
fn message(kind: u8, serial: u32, fields: &[(u8, u8, &str)], body: &[u8]) -> Vec<u8> {
    let mut array = Vec::new();
    for (code, signature, value) in fields {
        array.resize(array.len().next_multiple_of(8), 0);
        array.extend([*code, 1, *signature, 0]);
        if *signature == b'g' {
            array.push(value.len() as u8);
            array.extend(value.as_bytes());
            array.push(0);
        } else {
            string(&mut array, value);
        }
    }
    let mut bytes = vec![b'l', kind, 0, 1];
    for word in [body.len() as u32, serial, array.len() as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(array);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

/// Sends signals.
pub(crate) struct Emitter {
    connection: Connection,
    announced_at: u64,
}

impl Emitter {
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(path)?,
            announced_at: 0,
        })
    }
}

impl Announcer for Emitter {
    fn announce(&mut self, sequence: u64) -> Result<()> {
        let fields = [
            (1, b'o', "/org/example/Teredo"),
            (2, b's', INTERFACE),
            (3, b's', MEMBER),
            (8, b'g', "tsq"),
        ];
        let mut body = sequence.to_le_bytes().to_vec();
        string(&mut body, "change");
        body.resize(body.len().next_multiple_of(2), 0);
        body.extend(system::port(sequence).to_le_bytes());
        // Serial numbers are not zero; the replies to the first ones are in.
        let signal = message(SIGNAL, sequence as u32 | 0x8000_0000, &fields, &body);
        self.announced_at = clock::now();
        self.connection.write(&signal)
    }

    fn announced_at(&self) -> u64 {
        self.announced_at
    }
}

pub(crate) fn receive(path: &Path, recorder: Arc<Recorder>) -> Result<()> {
    let mut connection = Connection::open(path)?;
    connection.call(
        "AddMatch",
        Some(&format!("type='signal',interface='{INTERFACE}'")),
    )?;
    connection.0.get_ref().set_read_timeout(None)?;
    thread::Builder::new()
        .name("dbus".to_owned())
        .spawn(move || {
            while let Ok(message) = connection.read() {
                let fields = &message.fields;
                let ours = || {
                    fields
                        .windows(MEMBER.len())
                        .any(|part| part == MEMBER.as_bytes())
                };
                if message.kind == SIGNAL && ours() {
                    recorder.all_hear();
                }
            }
        })?;
    Ok(())
}
