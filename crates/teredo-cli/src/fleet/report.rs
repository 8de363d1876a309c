//! The status of a perimeter's process, by Varlink on a socket of its own: `io.teredo.Perimeter.GetStatus`.
//!
//! The socket is also the claim: a second process finds it in use.

use std::convert::Infallible;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use teredo_fleet::{PerimeterConfig, PerimeterStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Where a perimeter's process answers if no other place is named.
pub(crate) const PERIMETER_SOCKET: &str = "/run/teredo/perimeter.sock";

/// The one method.
const METHOD: &str = "io.teredo.Perimeter.GetStatus";

/// The schema of the answer.
pub(crate) const SCHEMA: &str = "teredo.perimeter/1";

/// The longest request, in bytes.
const MAX_REQUEST: usize = 4096;

/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// The callers at a time, and how long each may take.
const CALLERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);

/// A socket that is bound.
pub(crate) struct Listener {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds the socket. One that is left by a process that has ended is replaced.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        let cannot = |error| {
            Failure::new(Exit::Failed, format!("cannot listen on {}", path.display()))
                .because(error)
                .hint("choose another place with --socket")
        };
        if UnixStream::connect(path).is_ok() {
            return Err(Failure::new(Exit::Failed, "another firewall of the fleet runs here")
                .because(std::io::Error::other(format!("{} answers", path.display())))
                .hint("stop the other one first, or give this one another --socket and another --set"));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(path).map_err(cannot)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers for ever, in a runtime.
    pub(crate) async fn answer(
        self,
        config: PerimeterConfig,
        status: watch::Receiver<PerimeterStatus>,
    ) -> Infallible {
        let Ok(listener) = self.listener.try_clone().and_then(UnixListener::from_std) else {
            return std::future::pending().await;
        };
        let places = Arc::new(Semaphore::new(CALLERS));
        let config = Arc::new(config);
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (config, status) = (Arc::clone(&config), status.clone());
                    tokio::spawn(async move {
                        // A caller that hangs up or is silent gets no answer.
                        let _ = timeout(PATIENCE, serve(stream, &config, &status)).await;
                        drop(place);
                    });
                }
                // Such as too many open files.
                Err(_) => tokio::time::sleep(PATIENCE).await,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // If it cannot be removed, the next process replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(
    mut stream: tokio::net::UnixStream,
    config: &PerimeterConfig,
    status: &watch::Receiver<PerimeterStatus>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.contains(&0) {
        let mut part = [0; 512];
        let length = stream.read(&mut part).await?;
        if length == 0 || request.len() + length > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&part[..length]);
    }
    let end = request
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or_default();
    let call: Value = serde_json::from_slice(&request[..end]).unwrap_or_default();
    let answer = if call["method"] == METHOD {
        let status = status.borrow().clone();
        json!({ "parameters": { "status": describe(config, &status) } })
    } else {
        json!({ "error": "org.varlink.service.MethodNotFound", "parameters": { "method": call["method"] } })
    };
    stream.write_all(format!("{answer}\0").as_bytes()).await
}

fn describe(config: &PerimeterConfig, status: &PerimeterStatus) -> Value {
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "name": config.name.as_str(),
        "servers": config.servers.urls.to_string(),
        "set": config.set.to_string(),
        "following": status.is_following,
        "in_step": status.in_step,
        "trouble": status.trouble,
        "hosts": status.hosts,
        "endpoints": status.endpoints,
        "lease": status.lease.map(|lease| lease.as_secs_f64()),
        "repairs": status.repairs,
        "refusals": status.refusals,
        "refused": status.refused,
    })
}

/// The status of a perimeter on this host.
pub(crate) struct Report(Value);

/// Asks the process behind a socket; none if there is none.
pub(crate) fn ask(path: &Path) -> Option<Report> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let call = json!({ "method": METHOD });
    stream.write_all(format!("{call}\0").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).ok()?;
    let end = answer.iter().position(|byte| *byte == 0)?;
    let mut answer: Value = serde_json::from_slice(&answer[..end]).ok()?;
    let status = answer["parameters"]["status"].take();
    (status["schema"] == SCHEMA).then_some(Report(status))
}

impl Report {
    /// The object of schema `teredo.perimeter/1`.
    pub(crate) fn into_json(self) -> Value {
        self.0
    }

    /// Prints it; [`Exit::NotReady`] if the set is not in step with the bucket.
    pub(crate) fn print(&self, as_json: bool, output: &mut Output) -> Result<Exit, Failure> {
        if as_json {
            output.json(&self.0)?;
        } else {
            output.line(self.text())?;
        }
        let is_well = self.0["following"] == true && self.0["in_step"] == true;
        Ok(if is_well { Exit::Done } else { Exit::NotReady })
    }

    fn text(&self) -> String {
        let status = &self.0;
        let word = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let state = match (status["following"] == true, status["in_step"] == true) {
            (true, true) => String::from("in step with the bucket"),
            (false, true) => {
                String::from("not following the bucket; what is open ends with its lease")
            }
            (_, false) => String::from("not in step with the bucket"),
        };
        let mut lines = vec![
            ("perimeter", format!("{}: {state}", word("name"))),
            ("set", word("set")),
            ("servers", word("servers")),
            (
                "open",
                format!(
                    "{} of {}",
                    counted(&status["endpoints"], "endpoint"),
                    counted(&status["hosts"], "host")
                ),
            ),
        ];
        if let Some(trouble) = status["trouble"].as_str() {
            lines.push(("trouble", text::plain(trouble)));
        }
        if let Some(refused) = status["refused"]
            .as_object()
            .filter(|refused| !refused.is_empty())
        {
            let reasons: Vec<_> = refused
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            lines.push(("refused", reasons.join(", ")));
        }
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| format!("{name:<11} {value}"))
            .collect();
        lines.join("\n")
    }
}

fn counted(number: &Value, what: &str) -> String {
    let plural = if *number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
