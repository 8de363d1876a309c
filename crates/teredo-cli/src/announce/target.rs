//! The node that is announced: its settings, from the command line and from the configuration of the node itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::{Credentials, ServerAddress};
use teredo_tunnel::net::Network;

use crate::args::{AnnounceRelayArgs, AnnounceServerArgs, RelayArgs, ServerArgs};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::secret;
use crate::settings::{RelaySettings, ServerSettings, ServerSocket, refused_address};

/// The prefix of all Teredo addresses (RFC 4380 §2.6).
const TEREDO: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

/// The node that is announced.
#[derive(Debug)]
pub(super) enum Target {
    Relay {
        service: SocketAddrV4,
        from: Option<Ipv4Addr>,
        interface: String,
    },
    Server {
        pair: ServerAddress,
        from: Option<Ipv4Addr>,
        allow_private: bool,
        credentials: Option<Credentials>,
    },
}

impl Target {
    /// The relay, and the networks to announce by default.
    pub(super) fn relay(
        args: &AnnounceRelayArgs,
        config: Config,
    ) -> Result<(Self, Vec<Network>), Failure> {
        let given = RelayArgs {
            address: args.address,
            port: args.port,
            interface: args.interface.clone(),
            ..RelayArgs::default()
        };
        let settings = RelaySettings::new(given, config.relay, "".into())?;
        if settings.host {
            return Err(Failure::new(
                Exit::Usage,
                "a relay for its own host alone ('host') has nothing to announce",
            )
            .hint("announce a relay that serves others"));
        }
        let from = args.probe.from;
        let address = from.unwrap_or(settings.address);
        check(address, settings.allow_private, "relay")?;
        if from.is_none() && settings.port == teredo::wire::PORT {
            return Err(Failure::new(
                Exit::Usage,
                "the probe needs UDP port 3544 of the relay's address, which the relay itself has",
            )
            .hint("name another address of this host: --from A"));
        }
        let target = Self::Relay {
            service: SocketAddrV4::new(settings.address, settings.port),
            from,
            interface: settings.interface,
        };
        Ok((target, vec![Network::new(TEREDO.0.into(), TEREDO.1)]))
    }

    /// The server, and the networks to announce by default.
    pub(super) fn server(
        args: &AnnounceServerArgs,
        config: Config,
    ) -> Result<(Self, Vec<Network>), Failure> {
        let given = ServerArgs {
            addresses: args.address.into_iter().collect(),
            secondaries: args.secondary.into_iter().collect(),
            secret_file: args.secret_file.clone(),
            ..ServerArgs::default()
        };
        let settings = ServerSettings::new(given, config.server, ServerSocket::new(None))?;
        let [pair] = settings.pairs[..] else {
            return Err(Failure::new(
                Exit::Usage,
                "the server has several pairs of addresses, and each is announced by itself",
            )
            .hint("name one: --address A"));
        };
        if let Some(from) = args.probe.from {
            if [pair.primary, pair.secondary].contains(&from) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("a server answers nothing from its own address {from}"),
                )
                .hint("name another address of this host: --from A"));
            }
            check(from, settings.allow_private, "server")?;
        }
        let credentials = match &settings.secret_file {
            Some(path) if !settings.allow_plain => {
                let entries = secret::read(path).map_err(|error| {
                    let hint = error.remedy();
                    let failure = Failure::new(Exit::Failed, "cannot announce").because(error);
                    match hint {
                        Some(hint) => failure.hint(hint),
                        None => failure,
                    }
                    .of_settings()
                })?;
                let first = entries.into_iter().next();
                first.map(|entry| Credentials {
                    identifier: entry.identifier,
                    secret: entry.secret,
                })
            }
            _ => None,
        };
        let networks = vec![pair.primary.into(), pair.secondary.into()];
        let target = Self::Server {
            pair,
            from: args.probe.from,
            allow_private: settings.allow_private,
            credentials,
        };
        Ok((target, networks))
    }

    /// The kind of node, for messages.
    pub(super) const fn role(&self) -> &'static str {
        match self {
            Self::Relay { .. } => "relay",
            Self::Server { .. } => "server",
        }
    }

    /// The likely faults if the node has never answered, although it is there.
    pub(super) fn doubt(&self) -> &'static str {
        match self {
            Self::Relay { .. } => {
                "does 'teredo relay' run with this address and port, and has this host a global IPv6 address?"
            }
            Self::Server { .. } => {
                "does 'teredo server' run with these addresses, and may it answer the probe's? --from A names another address of this host"
            }
        }
    }
}

/// Fails if the node refuses datagrams from this address.
fn check(from: Ipv4Addr, allow_private: bool, role: &str) -> Result<(), Failure> {
    match refused_address(from, Some(allow_private)) {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            Exit::Failed,
            format!("the {role} refuses a probe from {from}, which is not a global unicast address"),
        )
        .hint("'ip address add 198.18.0.1/32 dev lo' gives this host an address of a network for tests, and --from 198.18.0.1 uses it")
        .of_settings()),
    }
}
