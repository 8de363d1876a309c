//! The value of a host's key: `teredo.port/1`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::HostKey;

/// The name of the format, in the field `schema`.
pub const SCHEMA: &str = "teredo.port/1";

/// The longest value, in bytes.
pub const MAX_ENTRY: usize = 1024;

/// The longest [`boot`](Entry::boot), in bytes.
const MAX_BOOT: usize = 64;

/// The state of one host.
///
/// ```
/// use teredo_fleet::Entry;
///
/// let json = br#"{"schema":"teredo.port/1","host":"web","address":null,
///     "local":{"address":"192.0.2.7","port":4500},"mapped":{"address":null,"port":0},
///     "sequence":3,"boot":"b","time":"2026-11-30T12:00:00Z"}"#;
/// let entry = Entry::decode(&"web".parse()?, json)?;
/// assert_eq!(entry.local, Some("192.0.2.7:4500".parse()?));
/// assert_eq!(entry.mapped, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key that it belongs to.
    pub host: HostKey,
    /// The Teredo address, once the host is qualified.
    pub address: Option<Ipv6Addr>,
    /// Where the host sends from; none: it has no port.
    pub local: Option<SocketAddrV4>,
    /// Where the world sees it, once that is known.
    pub mapped: Option<SocketAddrV4>,
    /// The number of the announcement in the host's service.
    pub sequence: u64,
    /// The boot of the host. [`sequence`](Self::sequence) and [`uptime`](Self::uptime) are compared within one boot alone.
    pub boot: String,
    /// When the host wrote it, since the epoch, by the host's clock.
    pub time: Duration,
    /// The same as the time since the boot, asleep or not, which nobody can set. Each entry of a boot is later than those
    /// before, by this or, without it, by [`time`](Self::time).
    pub uptime: Option<Duration>,
    /// How long the entry lasts, if that is shorter than the bucket keeps it.
    pub lease: Option<Duration>,
}

/// Why a value is no entry of its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// It is longer than [`MAX_ENTRY`].
    #[error("it is longer than {MAX_ENTRY} bytes")]
    TooLong,
    /// It is not such JSON.
    #[error("it is no entry: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is of another format.
    #[error("its schema is not {SCHEMA}")]
    Schema,
    /// It names another host than its key.
    #[error("it names another host than its key")]
    OtherHost,
    /// Its boot or time is none.
    #[error("its {0} is none")]
    Field(&'static str),
    /// No host can have that IPv4 address.
    #[error("{0} is the address of no host")]
    Address(Ipv4Addr),
}

/// An address and a port in JSON. Port 0 is no port.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Point {
    #[serde(default)]
    address: Option<Ipv4Addr>,
    port: u16,
}

#[derive(Serialize, Deserialize)]
struct Value<'a> {
    schema: &'a str,
    host: &'a str,
    #[serde(default)]
    address: Option<Ipv6Addr>,
    #[serde(default)]
    local: Option<Point>,
    #[serde(default)]
    mapped: Option<Point>,
    sequence: u64,
    boot: &'a str,
    time: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uptime_us: Option<u64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<f64>,
}

impl Entry {
    /// Reads the value of `key`. Fields that it does not know are left out.
    ///
    /// # Errors
    ///
    /// [`EntryError`]
    pub fn decode(key: &HostKey, bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::TooLong);
        }
        let value: Value<'_> = serde_json::from_slice(bytes)?;
        if value.schema != SCHEMA {
            return Err(EntryError::Schema);
        }
        if value.host != key.as_str() {
            return Err(EntryError::OtherHost);
        }
        if value.boot.is_empty() || value.boot.len() > MAX_BOOT {
            return Err(EntryError::Field("boot"));
        }
        let time = humantime::parse_rfc3339(value.time).ok();
        let time = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let lease = value.lease.map(Duration::try_from_secs_f64);
        Ok(Self {
            host: key.clone(),
            address: value.address,
            local: endpoint(value.local)?,
            mapped: endpoint(value.mapped)?,
            sequence: value.sequence,
            boot: value.boot.to_owned(),
            time: time.ok_or(EntryError::Field("time"))?,
            uptime: value.uptime_us.map(Duration::from_micros),
            lease: lease.transpose().map_err(|_| EntryError::Field("lease"))?,
        })
    }

    /// The place of the entry among those of its boot.
    pub(crate) fn moment(&self) -> Duration {
        self.uptime.unwrap_or(self.time)
    }

    /// The value in JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let point = |endpoint: Option<SocketAddrV4>| {
            Some(Point {
                address: endpoint.map(|endpoint| *endpoint.ip()),
                port: endpoint.map_or(0, |endpoint| endpoint.port()),
            })
        };
        let value = Value {
            schema: SCHEMA,
            host: self.host.as_str(),
            address: self.address,
            local: point(self.local),
            mapped: point(self.mapped),
            sequence: self.sequence,
            boot: &self.boot,
            time: &teredo_notify::types::rfc3339(SystemTime::UNIX_EPOCH + self.time),
            uptime_us: self.uptime.map(whole_micros),
            lease: self.lease.map(|lease| lease.as_secs_f64()),
        };
        serde_json::to_vec(&value).unwrap_or_default()
    }
}

/// A time in whole microseconds.
pub(crate) fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// No address, or port 0, is no endpoint.
fn endpoint(point: Option<Point>) -> Result<Option<SocketAddrV4>, EntryError> {
    let Some(Point {
        address: Some(address),
        port: port @ 1..,
    }) = point
    else {
        return Ok(None);
    };
    let of_no_host = address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.octets()[0] >= 224;
    if of_no_host {
        return Err(EntryError::Address(address));
    }
    Ok(Some(SocketAddrV4::new(address, port)))
}

#[cfg(test)]
mod tests;
