//! From the directives of miredo to the settings of teredo.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use teredo::wire::is_teredo;

use super::Remark;
use super::directive::{Directive, Key, Source};
use super::number::{number, switch};
use crate::config::document::Document;
use crate::config::layers::together;
use crate::config::{Config, Mistake};
use crate::settings;

/// The settings, as a file of teredo.
#[derive(Debug)]
pub(super) struct Translation {
    /// Of the client or the relay.
    node: Option<Section>,
    server: Option<Section>,
    pub(super) remarks: Vec<Remark>,
}

/// A section, and comments for its end.
#[derive(Debug)]
struct Section {
    name: &'static str,
    settings: Vec<Setting>,
    comments: Vec<&'static str>,
}

#[derive(Debug)]
struct Setting {
    key: &'static str,
    value: toml::Value,
    from: Directive,
}

/// The directives of a client or a relay, beside `RelayType`.
const NODE: &[Key] = &[
    Key::ServerAddress,
    Key::ServerAddress2,
    Key::BindAddress,
    Key::BindPort,
    Key::InterfaceName,
    Key::DefaultRoute,
];

/// The role that `RelayType` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    AutoClient,
    Relay,
    /// A relay behind a NAT.
    Restricted,
    /// In old versions: a server alone.
    Disabled,
}

impl Kind {
    const fn section(self) -> Option<&'static str> {
        match self {
            Self::Client | Self::AutoClient => Some("client"),
            Self::Relay | Self::Restricted => Some("relay"),
            Self::Disabled => None,
        }
    }
}

impl Translation {
    pub(super) fn of(source: Source) -> Self {
        let Source {
            directives,
            remarks,
        } = source;
        let mut translation = Self {
            node: None,
            server: None,
            remarks,
        };
        let kind = translation.kind(&directives);
        for directive in &directives {
            translation.add(directive, kind, &directives);
        }
        translation.settle();
        translation.complete(kind);
        // Those without a line concern the whole, and come last.
        translation
            .remarks
            .sort_by_key(|remark| remark.line.unwrap_or(usize::MAX));
        translation
    }

    /// The role that the file is for; opens its section.
    fn kind(&mut self, directives: &[Directive]) -> Kind {
        let named = find(directives, Key::RelayType);
        let has = |keys: &[Key]| keys.iter().any(|&key| find(directives, key).is_some());
        let kind = match named.map(|directive| directive.value.to_ascii_lowercase()) {
            Some(word) => match word.as_str() {
                "client" => Kind::Client,
                "autoclient" => Kind::AutoClient,
                "relay" | "cone" => Kind::Relay,
                "restricted" => Kind::Restricted,
                "disabled" => Kind::Disabled,
                _ => {
                    self.leave(named, "expected client, autoclient, relay, cone or restricted; the rest is translated as \
                         a client's");
                    Kind::Client
                }
            },
            None => Kind::Client,
        };
        // A server's file may hold keys of a client, which miredo-server ignores; old versions had one file for all.
        let is_server = has(&[Key::ServerBindAddress, Key::ServerBindAddress2]);
        if has(&[Key::RelayType, Key::ServerAddress, Key::ServerAddress2])
            || (has(NODE) && !is_server)
        {
            self.node = kind.section().map(Section::new);
        }
        kind
    }

    fn add(&mut self, directive: &Directive, kind: Kind, all: &[Directive]) {
        let Directive { name, value, .. } = directive;
        let is_client = matches!(kind, Kind::Client | Kind::AutoClient);
        let is_relay = matches!(kind, Kind::Relay | Kind::Restricted);
        match name {
            Key::RelayType => {
                if kind == Kind::Restricted {
                    self.set(directive, "direct_bubbles", true);
                }
            }
            key if NODE.contains(key) && self.node.is_none() => {
                let reason = match kind {
                    Kind::Disabled => "RelayType is disabled",
                    _ => "it is for a client or a relay, and the file is for a server",
                };
                self.leave(Some(directive), reason);
            }
            Key::ServerAddress | Key::ServerAddress2 | Key::DefaultRoute if !is_client => {
                self.leave(Some(directive), "it is for a client alone");
            }
            Key::ServerAddress => self.servers(directive, find(all, Key::ServerAddress2)),
            Key::ServerAddress2 => {
                if find(all, Key::ServerAddress).is_none() {
                    self.leave(Some(directive), "there is no ServerAddress");
                }
            }
            Key::BindAddress if is_relay && value == "0.0.0.0" => {
                self.leave(
                    Some(directive),
                    "a relay needs an address that clients can reach",
                );
            }
            Key::BindAddress if is_relay => self.set_address(directive, "address"),
            Key::BindAddress => self.set_address(directive, "bind"),
            Key::BindPort => match number(value) {
                Some(0) if is_relay => {
                    self.leave(
                        Some(directive),
                        "the port of teredo's relay is fixed; 3545 unless 'port' is set",
                    );
                }
                Some(0) => self.leave(Some(directive), "the system chooses the port anyway"),
                Some(port) => self.set(directive, "port", i64::from(port)),
                None => self.leave(Some(directive), "it is not a number from 0 to 65535"),
            },
            Key::InterfaceName => self.set(directive, "interface", value.as_str()),
            Key::DefaultRoute => match switch(value) {
                Some(on) => self.set(directive, "default_route", on),
                None => self.leave(Some(directive), "it is neither yes nor no"),
            },
            Key::ServerBindAddress => self.set_server_address(directive, "address"),
            Key::ServerBindAddress2 if find(all, Key::ServerBindAddress).is_none() => {
                self.leave(Some(directive), "there is no ServerBindAddress");
            }
            Key::ServerBindAddress2 => self.set_server_address(directive, "secondary"),
            Key::Prefix => {
                let address = value.split('/').next();
                let address = address.and_then(|text| text.parse::<Ipv6Addr>().ok());
                let reason = match address {
                    Some(address) if is_teredo(&address) => {
                        "teredo has no other prefix than this one (RFC 4380 §2.6)"
                    }
                    _ => "teredo's prefix is 2001::/32 and cannot be changed (RFC 4380 §2.6)",
                };
                self.leave(Some(directive), reason);
            }
            Key::InterfaceMtu => self.leave(
                Some(directive),
                "the MTU of a Teredo interface is 1280 and cannot be changed (RFC 4380 §5.1.2)",
            ),
            Key::IgnoreConeBit => self.leave(
                Some(directive),
                "teredo always ignores the cone bit (RFC 5991 §3.2)",
            ),
            Key::SyslogFacility => self.leave(
                Some(directive),
                "teredo logs to standard error, and systemd's journal keeps that; \
                 'SyslogFacility=' of the unit names a facility",
            ),
        }
    }

    /// The server of a client, with its second address.
    fn servers(&mut self, first: &Directive, second: Option<&Directive>) {
        let list = |text: &str| vec![text.to_owned()];
        let Some(second) = second else {
            return self.set(first, "servers", list(&first.value));
        };
        let addresses = [&first.value, &second.value].map(|text| text.parse::<Ipv4Addr>());
        let [Ok(primary), Ok(secondary)] = addresses else {
            self.set(first, "servers", list(&first.value));
            return self.leave(
                Some(second),
                "teredo takes a second address of a server only beside the first one, both as IPv4 \
                 addresses: servers = [\"PRIMARY,SECONDARY\"]",
            );
        };
        if primary == secondary {
            self.set(first, "servers", list(&first.value));
            return self.leave(Some(second), "it is the same as ServerAddress");
        }
        self.set(first, "servers", list(&format!("{primary},{secondary}")));
    }

    fn set_address(&mut self, directive: &Directive, key: &'static str) {
        match address(&directive.value) {
            Ok(address) => self.set(directive, key, address),
            Err(reason) => self.leave(Some(directive), reason),
        }
    }

    fn set_server_address(&mut self, directive: &Directive, key: &'static str) {
        let section = self.server.get_or_insert_with(|| Section::new("server"));
        match address(&directive.value) {
            Ok(value) => section.settings.push(Setting {
                key,
                value,
                from: directive.clone(),
            }),
            Err(reason) => self.leave(Some(directive), reason),
        }
    }

    /// Sets a key of the client or the relay, if its value is valid.
    fn set(&mut self, directive: &Directive, key: &'static str, value: impl Into<toml::Value>) {
        let Some(section) = &mut self.node else {
            return;
        };
        let value = value.into();
        match refusal(section.name, key, &value) {
            Some(reason) => self.leave(Some(directive), &reason),
            None => section.settings.push(Setting {
                key,
                value,
                from: directive.clone(),
            }),
        }
    }

    fn leave(&mut self, directive: Option<&Directive>, reason: &str) {
        if let Some(Directive { line, name, value }) = directive {
            let text = format!("{} '{value}' is not translated: {reason}", name.text());
            self.remarks.push(Remark::new(*line, text));
        }
    }
}

impl Translation {
    /// Takes away what does not go together: the second address first, which was chosen for the other one.
    fn settle(&mut self) {
        while let Some(conflict) = settings::conflicts(&read(&self.to_string())).first()
            && let Some(server) = &mut self.server
            && let Some(last) = server.settings.len().checked_sub(1)
        {
            let second = server
                .settings
                .iter()
                .position(|setting| setting.key == "secondary");
            let removed = server.settings.remove(second.unwrap_or(last));
            self.leave(Some(&removed.from), &conflict.to_string());
        }
    }

    /// Names what the daemon still lacks, and what it does differently.
    fn complete(&mut self, kind: Kind) {
        let mut remark = |text: &str| {
            self.remarks.push(Remark {
                line: None,
                text: text.to_owned(),
            });
        };
        if let Some(node) = &mut self.node {
            match kind {
                Kind::Relay | Kind::Restricted if !node.has("address") => {
                    node.comments.push(
                        "# address = \"192.0.2.99\"   # required: an IPv4 address of this host that \
                         clients reach",
                    );
                    remark("a relay of teredo needs its address: set 'address' under [relay]");
                }
                Kind::Client | Kind::AutoClient if !node.has("servers") => {
                    node.comments
                        .push("# servers = [\"teredo.example.net\"]   # required");
                    remark("a client needs a server: set 'servers' under [client]");
                }
                _ => {}
            }
            if kind == Kind::Client {
                node.comments.push(
                    "# native_ipv6 = \"ignore\"   # run beside native IPv6, as miredo does; else the \
                     client waits",
                );
                remark(
                    "miredo runs beside native IPv6, and teredo waits until it is gone (RFC 4380 §5.5); \
                     native_ipv6 = \"ignore\" under [client] changes that",
                );
            }
        }
        if let Some(server) = &mut self.server
            && !server.has("address")
        {
            server
                .comments
                .push("# address = \"192.0.2.1\"   # required: the primary IPv4 address");
            remark("a server needs its address: set 'address' under [server]");
        }
    }
}

impl Section {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            settings: Vec::new(),
            comments: Vec::new(),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == key)
    }
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in [&self.node, &self.server].into_iter().flatten() {
            write!(f, "\n[{}]", section.name)?;
            for Setting { key, value, .. } in &section.settings {
                write!(f, "\n{key} = {value}")?;
            }
            for comment in &section.comments {
                write!(f, "\n{comment}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn find(directives: &[Directive], name: Key) -> Option<&Directive> {
    directives.iter().find(|directive| directive.name == name)
}

/// miredo looks names up; teredo takes a local address as a number alone.
fn address(text: &str) -> Result<toml::Value, &'static str> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.to_string().into()),
        Err(_) => Err("teredo takes an IPv4 address here, and no name"),
    }
}

/// Why a file of teredo may not hold this.
fn refusal(section: &str, key: &str, value: &toml::Value) -> Option<String> {
    let text = format!("[{section}]\n{key} = {value}\n");
    let mistake = Document::parse(Path::new(""), text.as_bytes()).mistakes;
    mistake.into_iter().next().map(|mistake| match mistake {
        Mistake::Value { message, .. } => message,
        other => other.to_string(),
    })
}

fn read(text: &str) -> Config {
    together(Document::parse(Path::new(""), text.as_bytes()).entries)
}
