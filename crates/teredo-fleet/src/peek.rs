//! The entries of the bucket, read one by one from any server that has a copy (ADR-31 of NATS, direct get).
//!
//! A watch needs the leader of all of JetStream, and after the loss of a server there may be none for longer than a lease (seen:
//! 21 s with nats-server 2.9.10). Each server answers for its copy alone. A copy that is behind shows old entries, which last no
//! longer for that: a lease counts from when its host wrote it.

use std::time::{Duration, Instant, SystemTime};

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use tokio::time::timeout_at;

use crate::News;
use crate::bucket::{PREFIX, STREAM};

/// How long one look takes at most. The next one goes on where it ended.
const LOOK: Duration = Duration::from_secs(1);

/// A question without an answer is asked again after this time. The cluster hands each to any server that has a copy, also to
/// one that is cut off, as long as it does not know that: then every third is lost.
const AGAIN: Duration = Duration::from_millis(50);

/// The yield of one look.
#[derive(Debug)]
pub(crate) struct Peeked {
    pub(crate) entries: Vec<PeekedEntry>,
    /// The number where the next look begins.
    pub(crate) next: u64,
}

/// An entry, or a mark that one was deleted.
#[derive(Debug)]
pub(crate) struct PeekedEntry {
    subject: String,
    stamp: Duration,
    is_deleted: bool,
    is_copy: bool,
    message: Message,
    /// When it was read, and the same since the epoch by the clock of this host.
    pub(crate) at: Instant,
    wall: Duration,
}

/// Reads the entries from this number on.
///
/// # Errors
///
/// No server answers, or none has a copy.
pub(crate) async fn peek(client: Client, from: u64) -> Result<Peeked, String> {
    let end = tokio::time::Instant::now() + LOOK;
    let (mut entries, mut next) = (Vec::new(), from.max(1));
    // Not by a request of the library: it takes the status line of an entry, which its host wrote, for the server's.
    let inbox = client.new_inbox();
    let answers = client.subscribe(format!("{inbox}.*")).await;
    let mut answers = answers.map_err(|error| error.to_string())?;
    loop {
        let answer = timeout_at(end, ask(&client, &inbox, next, &mut answers)).await;
        let Ok(answer) = answer else {
            return match entries.is_empty() {
                true => Err(String::from("no server answers")),
                false => Ok(Peeked { entries, next }),
            };
        };
        let answer = answer?;
        let status = answer.status;
        let Some((number, entry)) = read(answer) else {
            return match status {
                Some(StatusCode::NOT_FOUND) => Ok(Peeked { entries, next: 1 }),
                Some(status) => Err(format!("no server reads its copy: {status}")),
                None => Err(String::from("an answer without the fields of an entry")),
            };
        };
        if number < next {
            return Err(String::from("an answer with an earlier entry"));
        }
        next = number + 1;
        entries.push(entry);
    }
}

/// Asks for the next entry until an answer comes. One to an earlier question is left out.
async fn ask(
    client: &Client,
    inbox: &str,
    next: u64,
    answers: &mut Subscriber,
) -> Result<Message, String> {
    let to = format!("{inbox}.{next}");
    loop {
        let question = format!("{{\"seq\":{next},\"next_by_subj\":\"{PREFIX}>\"}}");
        let subject = format!("$JS.API.DIRECT.GET.{STREAM}");
        let asked = client.publish_with_reply(subject, to.clone(), question.into());
        asked.await.map_err(|error| error.to_string())?;
        let again = tokio::time::Instant::now() + AGAIN;
        while let Ok(answer) = timeout_at(again, answers.next()).await {
            match answer {
                Some(answer) if answer.subject.as_str() == to => return Ok(answer),
                Some(_) => {}
                None => return Err(String::from("the connection has ended")),
            }
        }
    }
}

fn read(message: Message) -> Option<(u64, PeekedEntry)> {
    let headers = message.headers.as_ref()?;
    let number = own(headers, "Nats-Sequence")?.parse().ok()?;
    let stamp = humantime::parse_rfc3339(own(headers, "Nats-Time-Stamp")?).ok()?;
    let entry = PeekedEntry {
        subject: own(headers, "Nats-Subject")?.to_owned(),
        stamp: since_the_epoch(stamp),
        is_deleted: headers.get("KV-Operation").is_some(),
        // One is the server's; that of an entry that the server has copied came with the entry.
        is_copy: headers.get_all("Nats-Stream").count() > 1,
        at: Instant::now(),
        wall: since_the_epoch(SystemTime::now()),
        message,
    };
    Some((number, entry))
}

/// The server's field: it stands below those of the sender, who may have written the same name.
fn own<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get_all(name).last()?.as_str())
}

fn since_the_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

impl PeekedEntry {
    /// The entry as the ledger takes it.
    pub(crate) fn news(&self) -> News<'_> {
        News {
            key: self.subject.strip_prefix(PREFIX).unwrap_or_default(),
            stamp: self.stamp,
            wall: self.wall,
            value: (!self.is_deleted).then_some(&self.message.payload),
            is_copy: self.is_copy,
        }
    }
}

#[cfg(test)]
mod tests;
