//! Deserializers that apply the rules of the command line's values.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use teredo::Prefix;
use teredo::relay::PrefixError;
use teredo_firewall::{Exception, ParseExceptionError};

use crate::args::value;

pub(super) fn hosts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    list(deserializer, |text| {
        value::host(text).map_err(|error| format!("'{text}': {error}"))
    })
}

pub(super) fn interface<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    value::interface(&text).map(Some).map_err(D::Error::custom)
}

pub(super) fn port<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonZeroU16>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    value::port(&number.to_string())
        .map(Some)
        .map_err(|error| D::Error::custom(format!("{number} is not a port: {error}")))
}

/// A port as a number, or text.
pub(super) fn metrics<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::Integer(port) => port.to_string(),
        toml::Value::String(text) => text,
        other => {
            return Err(D::Error::custom(format!(
                "invalid type: {}, expected a port, or an address and a port",
                other.type_str()
            )));
        }
    };
    value::metrics(&text).map(Some).map_err(D::Error::custom)
}

pub(super) fn workers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonZeroUsize>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    value::workers(&number.to_string())
        .map(Some)
        .map_err(D::Error::custom)
}

/// Packets per second; 0 means no limit.
pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    value::rate(&i64::deserialize(deserializer)?.to_string())
        .map(Some)
        .map_err(D::Error::custom)
}

/// Text that the type itself parses.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map(Some)
        .map_err(D::Error::custom)
}

pub(super) fn inbound<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Exception>>, D::Error> {
    list(deserializer, |text| {
        text.parse()
            .map_err(|error: ParseExceptionError| error.to_string())
    })
}

pub(super) fn prefixes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Prefix>>, D::Error> {
    list(deserializer, |text| {
        text.parse()
            .map_err(|error: PrefixError| format!("'{text}': {error}"))
    })
}

pub(super) fn networks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<(Ipv4Addr, u8)>>, D::Error> {
    list(deserializer, |text| {
        value::network(text).map_err(|error| format!("'{text}': {error}"))
    })
}

/// Seconds as a number, or text with units.
pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    value::duration(&seconds(deserializer)?)
        .map(Some)
        .map_err(D::Error::custom)
}

pub(super) fn refresh_interval<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    value::refresh_interval(&seconds(deserializer)?)
        .map(Some)
        .map_err(D::Error::custom)
}

/// A time as it would be written on the command line.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match toml::Value::deserialize(deserializer)? {
        toml::Value::Integer(seconds) => seconds.to_string(),
        toml::Value::Float(seconds) => seconds.to_string(),
        toml::Value::String(text) => text,
        other => {
            return Err(D::Error::custom(format!(
                "invalid type: {}, expected seconds",
                other.type_str()
            )));
        }
    })
}

fn list<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<Vec<T>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parsed = texts.iter().map(|text| parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(D::Error::custom)
}
