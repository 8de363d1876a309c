//! Parsers for option values; the configuration file uses them as well.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use teredo::Identifier;
use teredo::client::NatTraversal;
use teredo_firewall::Backend;
use teredo_fleet::{ParseUrlError, Urls};
use teredo_lab::{HomeNat, HomeNatError, NatKind};
use teredo_node::ServerName;
use teredo_notify::types::EventName;
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use crate::nearest::nearest;

/// The longest wait or lease: a week. A longer one is likely a typing error.
const MAX_DURATION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Seconds, with or without a fraction, or a time with units: `30`, `0.5`, `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    parsed
        .filter(|parsed| *parsed <= MAX_DURATION)
        .ok_or_else(|| String::from("expected seconds or a time such as '1m 30s', at most a week"))
}

/// The lease of a fleet's entries. Three renewals fit in it.
pub(crate) fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text).ok();
    lease
        .filter(|lease| *lease >= teredo_fleet::SHORTEST_LEASE)
        .ok_or_else(|| String::from("expected 1 second to a week"))
}

/// The time that a program has. Without any, each run would fail.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let shortest = Duration::from_millis(100);
    duration(text)
        .ok()
        .filter(|limit| *limit >= shortest)
        .ok_or_else(|| String::from("expected 0.1 seconds to a week"))
}

/// A refresh interval. A shorter one burdens the server, and no NAT keeps a mapping longer without traffic.
pub(crate) fn refresh_interval(text: &str) -> Result<Duration, String> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(5)..=Duration::from_secs(300);
    duration(text)
        .ok()
        .filter(|interval| RANGE.contains(interval))
        .ok_or_else(|| String::from("expected 5 to 300 seconds"))
}

/// The pause between two looks.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(3600);
    duration(text)
        .ok()
        .filter(|period| RANGE.contains(period))
        .ok_or_else(|| String::from("expected 0.1 to 3600 seconds"))
}

/// A firewall program of the host.
pub(crate) fn backend() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new(["auto", "nftables", "firewalld", "ufw"])
        .try_map(|name| name.parse::<Backend>())
}

/// A way through NATs.
pub(crate) fn nat_traversal() -> impl TypedValueParser<Value = NatTraversal> {
    PossibleValuesParser::new(["rfc4380", "rfc6081", "eager"])
        .try_map(|name| name.parse::<NatTraversal>())
}

/// A data path.
pub(crate) fn data_path() -> impl TypedValueParser<Value = DataPathChoice> {
    PossibleValuesParser::new(["auto", "kernel", "user"])
        .try_map(|name| name.parse::<DataPathChoice>())
}

/// The use of offloads.
pub(crate) fn offload() -> impl TypedValueParser<Value = Offload> {
    PossibleValuesParser::new(["auto", "off"]).try_map(|name| name.parse::<Offload>())
}

/// A UDP port other than 0.
pub(crate) fn port(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .map_err(|_| String::from("expected a number from 1 to 65535"))
}

/// The place of the metrics: a port of the loopback address, or an address and a port.
pub(crate) fn metrics(text: &str) -> Result<SocketAddr, String> {
    let address = match port(text) {
        Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()))),
        Err(_) => text.parse().ok(),
    };
    let address = address
        .filter(|address| address.port() != 0)
        .ok_or_else(|| {
            String::from(
                "expected a port such as 9545, or an address and a port such as 127.0.0.1:9545",
            )
        })?;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_broadcast() => Err(format!("{} is no host's", v4.ip())),
        _ if address.ip().is_multicast() => Err(format!("{} is no host's", address.ip())),
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            Err(format!(
                "{0} is link-local: add the number of its interface, as in [{0}%2]:{1}",
                v6.ip(),
                v6.port()
            ))
        }
        _ => Ok(address),
    }
}

/// The most threads of a server or a relay. More threads than the network card has queues gain nothing.
const MAX_WORKERS: usize = 64;

/// A number of threads.
pub(crate) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|workers: &NonZeroUsize| workers.get() <= MAX_WORKERS)
        .ok_or_else(|| format!("expected a number from 1 to {MAX_WORKERS}"))
}

/// Packets per second; 0 means no limit.
pub(crate) fn rate(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("expected packets per second, 0 to {}", u32::MAX))
}

/// The name of a client in a secret file; a colon ends it there.
pub(crate) fn identifier(text: &str) -> Result<String, String> {
    let printable = |c: char| c.is_ascii_graphic() && c != ':';
    if text.is_empty() || text.len() > Identifier::MAX_LEN {
        Err(String::from("a name has 1 to 255 bytes"))
    } else if text.starts_with('#') || !text.chars().all(printable) {
        Err(String::from(
            "a name has printable ASCII characters, without colons and spaces, and does not begin with '#'",
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// A name for a network interface, by the rules of the kernel's `dev_valid_name`.
pub(crate) fn interface(text: &str) -> Result<String, String> {
    let forbidden = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace();
    if text.is_empty() || text.len() > 15 {
        Err(String::from("an interface name has 1 to 15 bytes"))
    } else if text == "." || text == ".." || text.contains(forbidden) {
        Err(String::from(
            "an interface name has no slash, colon, percent sign or space, and is not '.' or '..'",
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// An IPv4 network; an address without a length is a network of one.
pub(crate) fn network(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let (address, len) = text.split_once('/').unwrap_or((text, "32"));
    match (address.parse(), len.parse()) {
        (Ok(address), Ok(len @ 0..=32)) => Ok((address, len)),
        _ => Err(String::from(
            "expected an IPv4 network such as 192.0.2.0/24",
        )),
    }
}

/// A host name, an IPv4 address, or the two addresses of a server. A name is resolved later.
pub(crate) fn host(text: &str) -> Result<String, String> {
    if text.contains(',') {
        return match ServerName::from(text).address() {
            Some(pair) if pair.primary != pair.secondary => Ok(text.to_owned()),
            _ => Err(String::from(
                "expected two IPv4 addresses of a server, PRIMARY,SECONDARY",
            )),
        };
    }
    if text.is_empty() || text.len() > 253 {
        Err(String::from("a host name has 1 to 253 bytes"))
    } else if text.contains(|c: char| c == ':' || c == '/' || c.is_whitespace()) {
        Err(String::from(
            "a server is a host name or an IPv4 address, without a port",
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// The flags of a Teredo address in hexadecimal, with or without `0x`.
pub(crate) fn flags(text: &str) -> Result<u16, String> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    // `from_str_radix` accepts a sign.
    if digits.starts_with('+') {
        return Err(String::from("not a hexadecimal number"));
    }
    u16::from_str_radix(digits, 16).map_err(|_| String::from("not a hexadecimal number of 16 bits"))
}

/// A NAT: a kind, listed by name in help and completions, or properties of RFC 4787.
pub(crate) fn nat() -> impl TypedValueParser<Value = HomeNat> {
    Nat
}

/// The servers of a fleet. The error shows them without the password that they may hold, so it does not quote the value.
#[derive(Clone, Debug)]
pub(crate) struct FleetServers;

impl TypedValueParser for FleetServers {
    type Value = Urls;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Urls, clap::Error> {
        value
            .to_string_lossy()
            .parse()
            .map_err(|error: ParseUrlError| {
                let argument = argument.map(ToString::to_string).unwrap_or_default();
                let message = format!("invalid value for '{argument}': {error}\n");
                clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
            })
    }
}

#[derive(Clone)]
struct Nat;

impl TypedValueParser for Nat {
    type Value = HomeNat;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<HomeNat, clap::Error> {
        let text = value.to_string_lossy();
        text.parse::<HomeNat>().map_err(|error| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let (what, suggestion) = wrong_nat(&text, &error);
            let message = format!("invalid value '{text}' for '{argument}': {what}\n");
            let mut error = clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command);
            if let Some(suggestion) = suggestion {
                error.insert(
                    ContextKind::SuggestedValue,
                    ContextValue::String(suggestion),
                );
            }
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kinds = NatKind::ALL.into_iter();
        Some(Box::new(kinds.map(|kind| PossibleValue::new(kind.name()))))
    }
}

/// Other names of kinds.
const OTHER_NAMES: [(&str, NatKind); 8] = [
    ("full-cone", NatKind::Cone),
    ("restricted-cone", NatKind::Restricted),
    ("address-restricted", NatKind::Restricted),
    ("port-restricted-cone", NatKind::PortRestricted),
    ("cgn", NatKind::Carrier),
    ("cgnat", NatKind::Carrier),
    ("carrier-grade", NatKind::Carrier),
    ("upnp", NatKind::Igd),
];

/// The reason why a text is no NAT, and a text that may be meant.
fn wrong_nat(text: &str, error: &HomeNatError) -> (String, Option<String>) {
    let HomeNatError::Unknown(word) = error else {
        return (error.to_string(), None);
    };
    let kinds = NatKind::ALL.map(NatKind::name);
    let is_list = text.contains(',');
    let what = match (is_list, word.is_empty()) {
        (true, true) => String::from("a property is missing before or behind a comma"),
        (true, false) => format!("'{word}' is no property of a NAT"),
        (false, _) => format!(
            "it is no kind of NAT, and no property of one [kinds: {}]",
            kinds.join(", ")
        ),
    };
    let other = OTHER_NAMES.iter().filter(|_| !is_list);
    let mut other = other.filter(|(name, _)| name.eq_ignore_ascii_case(word));
    if let Some((_, kind)) = other.next() {
        return (what, Some(kind.name().to_owned()));
    }
    let kinds = kinds.into_iter().filter(|_| !is_list);
    let suggestion = nearest(word, kinds.chain(HomeNat::properties())).map(|name| {
        let words = text
            .split(',')
            .map(|one| if one == word { name } else { one });
        words.collect::<Vec<_>>().join(",")
    });
    (what, suggestion)
}

/// The file for a picture, which is SVG whatever its name.
pub(crate) fn picture(text: &str) -> Result<PathBuf, String> {
    const OTHERS: [&str; 7] = ["png", "jpg", "jpeg", "gif", "webp", "pdf", "html"];
    let path = PathBuf::from(text);
    let end = path
        .extension()
        .map(|end| end.to_string_lossy().to_ascii_lowercase());
    match end {
        Some(end) if OTHERS.contains(&&*end) => Err(format!(
            "the picture is SVG: name it {}",
            path.with_extension("svg").display()
        )),
        _ => Ok(path),
    }
}

/// A kind of event, listed by name in help and completions.
pub(crate) fn event() -> impl TypedValueParser<Value = EventName> {
    let name = |event| match event {
        EventName::Port => "port",
        EventName::State => "state",
    };
    PossibleValuesParser::new(EventName::ALL.map(name)).try_map(|name| name.parse::<EventName>())
}
