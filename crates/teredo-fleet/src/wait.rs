//! Waits that may have nothing to wait for.

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

/// The next message; without a subscription, none ever comes.
pub(crate) async fn message(subscriber: &mut Option<Subscriber>) -> Message {
    if let Some(subscriber) = subscriber
        && let Some(message) = subscriber.next().await
    {
        return message;
    }
    std::future::pending().await
}

/// Waits until then; forever if there is no such time.
pub(crate) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The outcome of work in the background; without any, none ever comes.
pub(crate) async fn outcome<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
