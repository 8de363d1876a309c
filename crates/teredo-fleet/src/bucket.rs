//! The bucket `teredo_ports` of JetStream.

use std::time::{Duration, Instant, SystemTime};

use async_nats::Client;
use async_nats::header::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{
    GetStreamErrorKind, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};

use tokio::time::timeout;

use crate::{Entry, HostKey, MAX_ENTRY, News};

/// The name of the bucket.
pub const BUCKET: &str = "teredo_ports";

/// The stream behind it (the layout of NATS' key-value stores, ADR-8).
pub(crate) const STREAM: &str = "KV_teredo_ports";

/// The subject of a key is this and the key.
pub(crate) const PREFIX: &str = "$KV.teredo_ports.";

/// Where a host of the generated accounts asks for the bucket: its own account has no JetStream, and the server answers so to
/// each request with the usual prefix.
pub(crate) const API: &str = "teredo.api";

/// The replicas of a bucket in a cluster.
const REPLICAS: usize = 3;

/// The bytes of a bucket: entries of some 600 bytes with their overhead, of more hosts than a perimeter follows.
pub const MAX_BYTES: i64 = 192 << 20;

/// The shortest memory for the identifiers of messages that the servers permit.
const DUPLICATES: Duration = Duration::from_millis(100);

/// A bucket gives a sign of life so often; a watch that misses two begins anew.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the servers may take to acknowledge an entry, before it is written again. While they elect a leader they drop it, and
/// the election takes most of a lease.
const ACKNOWLEDGED: Duration = Duration::from_secs(2);

/// The entries that a watch asks for before it has read them.
const IN_FLIGHT: usize = 4096;

/// Why there is no bucket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// No answer, or a refusal.
    #[error("the bucket '{BUCKET}' cannot be reached: {0}")]
    Unreachable(String),
    /// The account of this user has no JetStream, and no access to that of the bucket.
    #[error("the bucket '{BUCKET}' is not in the account of this user")]
    OtherAccount,
    /// There is none yet.
    #[error("the bucket '{BUCKET}' does not exist yet")]
    Missing,
    /// It cannot be created.
    #[error("the bucket '{BUCKET}' does not exist, and cannot be created: {0}")]
    NotCreated(String),
    /// Its entries do not end.
    #[error("the entries of the bucket '{BUCKET}' never end: it was created without a TTL")]
    WithoutLease,
}

/// Why the bucket did not take an entry.
#[derive(Debug)]
pub(crate) struct PutError {
    pub(crate) reason: String,
    /// Whether there may be no bucket, or another one.
    pub(crate) is_without_bucket: bool,
}

impl From<PublishError> for PutError {
    fn from(error: PublishError) -> Self {
        Self {
            reason: error.to_string(),
            is_without_bucket: error.kind() == PublishErrorKind::StreamNotFound,
        }
    }
}

/// The bucket, which exists.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    context: Context,
    /// Whether this account has JetStream by way of the bucket's.
    is_linked: bool,
    /// The number of the newest entry when it was opened.
    newest: u64,
    /// How long an entry lasts.
    pub(crate) lease: Duration,
    /// When it was created, in nanoseconds since 1970: a new bucket may have servers with other clocks.
    pub(crate) created: i128,
}

/// The stream of a bucket whose entries last for `lease`.
///
/// It keeps the last entry of each key. Its storage is a file although no entry outlives a lease: with memory, a server of a
/// cluster that starts again may stay behind the others for minutes (docs/decisions.md).
fn config(lease: Duration, replicas: usize) -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some(String::from(
            "the UDP ports of Teredo hosts (teredo.port/1)",
        )),
        subjects: vec![format!("{PREFIX}*")],
        max_messages_per_subject: 1,
        max_bytes: MAX_BYTES,
        max_age: lease,
        max_message_size: MAX_ENTRY as i32,
        storage: StorageType::File,
        num_replicas: replicas,
        discard: DiscardPolicy::New,
        // The servers remember each `Nats-Msg-Id` for so long, and no limit counts that. Nobody here sends one.
        duplicate_window: DUPLICATES,
        // A message with the header Nats-Rollup would remove the entries of all hosts.
        allow_rollup: false,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

impl Bucket {
    /// The bucket. If there is none, `create` is the lease of a new one, if this connection may create it; without it, the
    /// bucket is waited for.
    pub(crate) async fn open(
        client: &Client,
        create: Option<Duration>,
    ) -> Result<Self, BucketError> {
        let mut context = context(client, false);
        let mut found = find(&context).await;
        let is_linked = matches!(found, Err(BucketError::OtherAccount));
        if is_linked {
            context = self::context(client, true);
            found = find(&context).await;
        }
        let stream = match (found?, create) {
            (Some(stream), _) => stream,
            (None, None) => return Err(BucketError::Missing),
            (None, Some(lease)) => match new(&context, lease).await {
                Ok(stream) => stream,
                // Another host may have created it meanwhile.
                Err(error) => find(&context).await?.ok_or(error)?,
            },
        };
        let lease = stream.cached_info().config.max_age;
        if lease.is_zero() {
            return Err(BucketError::WithoutLease);
        }
        let created = stream.cached_info().created.unix_timestamp_nanos();
        Ok(Self {
            context,
            is_linked,
            newest: last(&stream),
            lease,
            created,
        })
    }

    /// The same bucket over another connection. To ask for it anew takes the leader of all of JetStream, and to write an entry
    /// only that of the bucket. Should it be gone, the next entry finds out.
    pub(crate) fn over(&self, client: &Client) -> Self {
        Self {
            context: context(client, self.is_linked),
            ..self.clone()
        }
    }

    /// Sends an entry. The future that it returns completes when the cluster has it.
    pub(crate) async fn put(&self, entry: &Entry) -> Result<PublishAckFuture, String> {
        let subject = format!("{PREFIX}{}", entry.host);
        let sent = self.context.publish(subject, entry.encode().into()).await;
        sent.map_err(|error| error.to_string())
    }

    /// Deletes a key, if its entry is still the one of this number: a request may be late, and the next process have written.
    pub(crate) async fn delete(&self, key: &HostKey, number: u64) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        headers.insert(
            "Nats-Expected-Last-Subject-Sequence",
            number.to_string().as_str(),
        );
        let subject = format!("{PREFIX}{key}");
        let sent = self
            .context
            .publish_with_headers(subject, headers, Vec::new().into())
            .await;
        let acknowledged = sent.map_err(|error| error.to_string())?.await;
        acknowledged.map(drop).map_err(|error| error.to_string())
    }

    /// All entries, then each change. The cluster has so long to make a consumer.
    pub(crate) async fn watch(&self, patience: Duration) -> Result<Watch, BucketError> {
        let unreachable =
            |error: &dyn std::fmt::Display| BucketError::Unreachable(error.to_string());
        // Pulled: what the servers push may fill tens of megabytes before it is read.
        let config = pull::Config {
            description: Some(String::from("a perimeter")),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            filter_subject: format!("{PREFIX}>"),
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: HEARTBEAT * 10,
            ..pull::Config::default()
        };
        let stream = self.context.get_stream_no_info(STREAM).await;
        let stream = stream.map_err(|error| unreachable(&error))?;
        let made = timeout(patience, stream.create_consumer(config)).await;
        let consumer: PullConsumer = made
            .map_err(|_| unreachable(&"it has made no consumer in time"))?
            .map_err(|error| unreachable(&error))?;
        let name = consumer.cached_info().name.clone();
        let messages = consumer
            .stream()
            .max_messages_per_batch(IN_FLIGHT)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| unreachable(&error))?;
        Ok(Watch {
            messages,
            next: 1,
            reached: 0,
            first: self.newest,
            stream,
            name,
        })
    }

    /// The number of the newest entry that the servers have now, 0 without one; none if they do not tell.
    pub(crate) fn newest(&self) -> impl Future<Output = Option<u64>> + Send + 'static {
        let context = self.context.clone();
        async move { Some(last(&context.get_stream(STREAM).await.ok()?)) }
    }
}

/// Creates the bucket, with three copies in a cluster, if there is none. Its entries last for `lease`.
///
/// # Errors
///
/// [`BucketError`]
pub async fn create_bucket(client: &Client, lease: Duration) -> Result<(), BucketError> {
    Bucket::open(client, Some(lease)).await.map(drop)
}

fn context(client: &Client, is_linked: bool) -> Context {
    let mut context = if is_linked {
        jetstream::with_prefix(client.clone(), API)
    } else {
        jetstream::new(client.clone())
    };
    context.set_timeout(ACKNOWLEDGED);
    context
}

/// The stream of the bucket; none if there is none.
async fn find(context: &Context) -> Result<Option<Stream>, BucketError> {
    match context.get_stream(STREAM).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(code)
                if code.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            GetStreamErrorKind::JetStream(code)
                if code.error_code() == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT =>
            {
                Err(BucketError::OtherAccount)
            }
            _ => Err(BucketError::Unreachable(in_words(&error.to_string()))),
        },
    }
}

/// The library's words, and the usual cause of them.
fn in_words(error: &str) -> String {
    if error.contains("no responders") || error.contains("does not exist") {
        String::from(
            "nobody answers for it: the servers have no JetStream, or have not linked the account of this host yet, which \
             nats-server does with its next reload",
        )
    } else {
        error.to_owned()
    }
}

/// The number of the newest entry, which ends last, as the leader had it when it was asked; 0 without one.
fn last(stream: &Stream) -> u64 {
    let state = &stream.cached_info().state;
    if state.messages > 0 {
        state.last_sequence
    } else {
        0
    }
}

async fn new(context: &Context, lease: Duration) -> Result<Stream, BucketError> {
    let replicated = context.create_stream(config(lease, REPLICAS)).await;
    let created = match replicated {
        // A single server has no replicas.
        Err(error) if error.to_string().contains("non-clustered") => {
            context.create_stream(config(lease, 1)).await
        }
        other => other,
    };
    created.map_err(|error| BucketError::NotCreated(error.to_string()))
}

/// The entries of a bucket as they are delivered. A gap ends it, and the next one begins with all entries.
pub(crate) struct Watch {
    messages: pull::Stream,
    /// The number of the next delivery.
    next: u64,
    /// The highest number of a delivered entry.
    reached: u64,
    /// The number of the newest entry at the beginning.
    first: u64,
    stream: Stream<()>,
    /// Of the consumer.
    name: String,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// A delivered entry.
#[derive(Debug)]
pub(crate) struct Delivered {
    message: jetstream::Message,
    stamp: Duration,
    /// When it was read, and the same since the epoch by the clock of this host.
    pub(crate) at: Instant,
    wall: Duration,
}

impl Watch {
    /// Whether all entries that were there at the beginning have been delivered. A server that has just started has none of
    /// them yet, and its consumer says so.
    pub(crate) fn is_complete(&self) -> bool {
        self.reached >= self.first
    }

    /// How many entries have been delivered, and the highest number of them.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.next - 1, self.reached)
    }

    /// Gives it up. The servers have places for few consumers, and keep one for a while that nobody asks; so it is deleted, in
    /// the background, if they can be reached.
    pub(crate) fn abandon(self) {
        let Self { stream, name, .. } = self;
        tokio::spawn(async move { stream.delete_consumer(&name).await.map(drop) });
    }

    /// The next entry. Cancel safe.
    ///
    /// # Errors
    ///
    /// Why the watch has ended.
    pub(crate) async fn next(&mut self) -> Result<Delivered, String> {
        use futures_util::StreamExt as _;
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err(String::from("the subscription has ended")),
        };
        let info = message.info().map_err(|error| error.to_string())?;
        if info.consumer_sequence != self.next {
            return Err(format!(
                "entries from {} to {} are missing",
                self.next, info.consumer_sequence
            ));
        }
        self.reached = self.reached.max(info.stream_sequence);
        let stamp = Duration::from_nanos(
            u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default(),
        );
        self.next += 1;
        Ok(Delivered {
            message,
            stamp,
            at: Instant::now(),
            wall: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        })
    }
}

impl Delivered {
    /// The entry as the ledger takes it.
    pub(crate) fn news(&self) -> News<'_> {
        let header = |name: &str| {
            let headers = self.message.headers.as_ref();
            headers.and_then(|headers| headers.get(name))
        };
        let operation = header("KV-Operation");
        News {
            key: self
                .message
                .subject
                .strip_prefix(PREFIX)
                .unwrap_or_default(),
            stamp: self.stamp,
            wall: self.wall,
            value: operation.is_none().then_some(&self.message.payload),
            // The server puts it into what it reads from a stream for somebody.
            is_copy: header("Nats-Stream").is_some(),
        }
    }
}
