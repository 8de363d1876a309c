//! One request over HTTP/1, and its answer. The connection ends with it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::exposition::CONTENT_TYPE;

/// The longest head of a request, in bytes. Prometheus' has some 300.
const MAX_HEAD: usize = 4096;
/// The most headers of a request.
const MAX_HEADERS: usize = 32;

/// The place of the metrics.
const PATH: &str = "/metrics";

/// A request that is asked for the metrics, or the answer to another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `GET`, or `HEAD`, which wants no body.
    Metrics {
        body: bool,
    },
    Refused(Refusal),
}

/// Why a request gets no metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    NotFound,
    Method,
    TooLong,
    /// The daemon did not answer.
    Unavailable,
}

impl Refusal {
    const fn line(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    pub(super) fn answer(self) -> Vec<u8> {
        let line = self.line();
        let allow = match self {
            Self::Method => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let body = match self {
            Self::NotFound => format!("the metrics are at {PATH}\n"),
            _ => format!("{line}\n"),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {line}\r\n{allow}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// The answer with the metrics.
pub(super) fn answer(text: &str, body: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    let body = if body { text } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Reads a request; `None` if the peer went away before it was complete.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
    let mut head = [0; MAX_HEAD];
    let mut len = 0;
    loop {
        let more = stream.read(&mut head[len..]).await?;
        if more == 0 {
            return Ok(None);
        }
        len += more;
        if let Some(request) = parse(&head[..len]) {
            return Ok(Some(request));
        }
        if len == MAX_HEAD {
            return Ok(Some(Request::Refused(Refusal::TooLong)));
        }
    }
}

/// `None` if the head is not complete.
fn parse(head: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Request::Refused(Refusal::TooLong)),
        Err(_) => return Some(Request::Refused(Refusal::Malformed)),
    }
    let target = parsed.path.unwrap_or_default();
    // Clients send the absolute form to proxies, and every server must accept it (RFC 9112 §3.2.2).
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Some(match parsed.method {
        _ if path != PATH => Request::Refused(Refusal::NotFound),
        Some("GET") => Request::Metrics { body: true },
        Some("HEAD") => Request::Metrics { body: false },
        _ => Request::Refused(Refusal::Method),
    })
}

#[cfg(test)]
mod tests;
