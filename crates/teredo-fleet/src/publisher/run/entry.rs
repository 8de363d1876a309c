//! The entry of this host in the bucket: written, renewed and deleted.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use async_nats::connection::State;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use teredo_notify::Snapshot;
use tokio::time::{Instant, timeout};

use super::super::DEFAULT_LEASE;
use super::{RETRY, Run, UNCONNECTED};
use crate::Entry;
use crate::bucket::{Bucket, BucketError, PutError};

/// Entries on their way. More than one is rare: the node waits for its gate.
const ON_THE_WAY: usize = 16;

/// How long a host with credentials leaves it to a perimeter to create the bucket.
const PERIMETER_FIRST: Duration = Duration::from_secs(5);

/// How long the end waits for the servers.
const FAREWELL: Duration = Duration::from_secs(1);

/// An address that no host has, to ask the kernel for the address of this host towards the world.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 88, 99, 1);

/// A put that the servers have not acknowledged: the moment of its entry, and then its number in the bucket.
pub(super) type Put = BoxFuture<'static, (Duration, Result<u64, PutError>)>;

impl Run {
    /// Writes the current state, which renews the lease, too.
    pub(super) async fn put(&mut self) {
        self.renew_at = Instant::now() + RETRY;
        let Some(state) = self.state else {
            return;
        };
        // The library would keep it for a later connection, and a port of the past would be opened then.
        if self.client.connection_state() != State::Connected {
            // The news of its end may not have come yet.
            match self.trouble.is_none() {
                true => self.fail(UNCONNECTED.to_owned()).await,
                false => self.report(true).await,
            }
            return;
        }
        if self.puts.len() >= ON_THE_WAY {
            return;
        }
        if !self.is_confirmed && self.opening.is_none() {
            self.open();
        }
        // A bucket that is known is written to meanwhile; one that is not, once it is found.
        let Some(bucket) = self.bucket.clone() else {
            return;
        };
        self.renew_at = Instant::now() + self.interval();
        let entry = self.entry(state);
        let time = entry.moment();
        if state.has_port() && entry.local.is_none() {
            // Nobody can open a port without an address, so nothing is confirmed.
            self.fail(String::from("the IPv4 address of this host is not known"))
                .await;
            return;
        }
        if let Some(unsettled) = &mut self.unsettled {
            // The host may have moved: the port is of no use at its former address.
            if unsettled.time.is_none() || unsettled.local != entry.local {
                (unsettled.time, unsettled.local) = (Some(time), entry.local);
                (unsettled.written, unsettled.waiting_since) = (false, None);
            }
        }
        match bucket.put(&entry).await {
            Ok(acknowledgement) => self.puts.push(Box::pin(async move {
                let outcome = acknowledgement.await;
                (
                    time,
                    outcome.map(|taken| taken.sequence).map_err(PutError::from),
                )
            })),
            Err(error) => self.fail(error).await,
        }
    }

    /// Looks for the bucket. The leader of all of JetStream has to answer, which may not be there while that of the bucket is.
    fn open(&mut self) {
        let create = self.config.lease.unwrap_or(DEFAULT_LEASE);
        // With credentials, a host may not create it, as a rule, and a refusal takes as long as a silence. A perimeter does.
        let patience = if self.config.servers.creds.is_some() {
            PERIMETER_FIRST
        } else {
            Duration::ZERO
        };
        let is_due = self
            .missing_since
            .is_some_and(|since| since.elapsed() >= patience)
            || patience.is_zero();
        let client = self.client.clone();
        let opening = async move { Bucket::open(&client, is_due.then_some(create)).await };
        self.opening = Some(opening.boxed());
    }

    pub(super) async fn opened(&mut self, opened: Result<Bucket, BucketError>) {
        self.opening = None;
        let bucket = match opened {
            Ok(bucket) => bucket,
            // It may be there all the same: whether it is, the next entry shows.
            Err(BucketError::Unreachable(reason)) if self.bucket.is_some() => {
                tracing::debug!(reason, "the bucket that is known is not confirmed");
                return;
            }
            Err(error) => {
                let is_missing = matches!(error, BucketError::Missing);
                let since = is_missing.then(|| self.missing_since.unwrap_or_else(Instant::now));
                (self.missing_since, self.bucket) = (since, None);
                return self.fail(error.to_string()).await;
            }
        };
        self.missing_since = None;
        self.is_confirmed = true;
        let known = self.bucket.replace(bucket.clone());
        if known.is_some_and(|known| known.lease == bucket.lease) {
            return;
        }
        if let Some(wanted) = self.config.lease.filter(|wanted| *wanted != bucket.lease) {
            let (wanted, lease) = (
                humantime::format_duration(wanted),
                humantime::format_duration(bucket.lease),
            );
            tracing::warn!(
                "the bucket keeps entries for {lease}, not {wanted}: perimeters close after the shorter of the two"
            );
        }
        self.put().await;
    }

    /// The time to the next renewal: a third of the lease, and up to a fifth less. After a power cut of a site all hosts come
    /// at once, and must not stay together.
    pub(super) fn interval(&self) -> Duration {
        (self.lease() / 3).mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    /// How long an entry lasts.
    pub(super) fn lease(&self) -> Duration {
        let bucket = self
            .bucket
            .as_ref()
            .map_or(DEFAULT_LEASE, |bucket| bucket.lease);
        self.config
            .lease
            .map_or(bucket, |wanted| wanted.min(bucket))
    }

    pub(super) fn entry(&mut self, state: Snapshot) -> Entry {
        let (time, uptime) = self.clock.next();
        let details = *self.details.borrow_and_update();
        // The status may be of another moment than the port, and during a change it is.
        let same_port = details
            .local
            .is_some_and(|local| local.port() == state.port);
        let told = details.local.map(|local| *local.ip());
        // Without a default route, the kernel has no answer; the host is where it was, until the node tells another address.
        let address = told.or_else(own_address).or(self.address);
        self.address = address;
        let local = address
            .filter(|_| state.has_port())
            .map(|address| SocketAddrV4::new(address, state.port));
        Entry {
            host: self.config.host.clone(),
            address: details.address.filter(|_| same_port),
            local,
            mapped: details.mapped.filter(|_| same_port),
            sequence: state.sequence,
            boot: self.config.boot.clone(),
            time,
            uptime: Some(uptime),
            lease: Some(self.lease()),
        }
    }

    pub(super) async fn acknowledged(&mut self, time: Duration, outcome: Result<u64, PutError>) {
        match outcome {
            Ok(number) => {
                self.number = Some(number);
                self.status.send_modify(|status| status.written += 1);
                (self.trouble, self.refusal) = (None, None);
                self.doubt.settle(Instant::now());
                if let Some(unsettled) = &mut self.unsettled {
                    unsettled.written |= unsettled.time.is_some_and(|first| first <= time);
                }
                self.settle().await;
                self.report(true).await;
            }
            Err(error) => {
                self.status.send_modify(|status| status.failed += 1);
                // The servers have enough to do then, so it is not looked for after each failure. They say the same if there
                // is no bucket and if it has no leader.
                self.is_confirmed &= !error.is_without_bucket;
                self.fail(error.reason).await;
            }
        }
    }

    /// Deletes the entry. Without the servers, it ends with its lease.
    pub(in super::super) async fn say_farewell(&mut self) {
        let taken = async {
            while let Some((_, outcome)) = self.puts.next().await {
                self.number = outcome.ok().or(self.number);
            }
        };
        let _ = timeout(FAREWELL, taken).await;
        if let (Some(bucket), Some(number)) = (&self.bucket, self.number)
            && self.client.connection_state() == State::Connected
        {
            match timeout(FAREWELL, bucket.delete(&self.config.host, number)).await {
                Ok(Ok(())) => tracing::info!("the entry of this host is deleted"),
                Ok(Err(error)) => {
                    tracing::warn!(error, "the entry of this host ends with its lease")
                }
                Err(_) => tracing::warn!(
                    "the entry of this host ends with its lease: the servers do not answer"
                ),
            }
        }
    }
}

/// The address from which the kernel sends to the world; it sends nothing to find out.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((ELSEWHERE, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
