//! The command line wins over the files, for each key.

use std::path::PathBuf;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::config::{Config, keys, sections};
use crate::failure::Failure;
use crate::settings::{
    ClientSettings, FirewallSettings, RelaySettings, ServerSettings, ServerSocket,
};

/// A key, a value that a file gives it, and options that give it another one.
const EVERY_KEY: &[(&str, &str, &str, &[&str])] = &[
    ("client", "servers", "['a']", &["--server=b"]),
    ("client", "interface", "'a'", &["--interface=b"]),
    ("client", "bind", "'192.0.2.1'", &["--bind=192.0.2.2"]),
    ("client", "port", "1", &["--port=2"]),
    (
        "client",
        "default_route",
        "true",
        &["--default-route=false"],
    ),
    ("client", "default_route", "true", &["--no-default-route"]),
    ("client", "default_route", "false", &["--default-route"]),
    (
        "client",
        "allow_private",
        "true",
        &["--allow-private=false"],
    ),
    ("client", "allow_private", "false", &["--allow-private"]),
    ("client", "deny", "['192.0.2.1/32']", &["--deny=192.0.2.2"]),
    ("client", "secret_file", "'/a'", &["--secret-file=/b"]),
    ("client", "protect", "true", &["--protect=false"]),
    ("client", "protect", "false", &["--protect"]),
    (
        "client",
        "local_discovery",
        "true",
        &["--local-discovery=false"],
    ),
    (
        "client",
        "local_discovery",
        "true",
        &["--no-local-discovery"],
    ),
    ("client", "local_discovery", "false", &["--local-discovery"]),
    (
        "client",
        "refresh_interval",
        "20",
        &["--refresh-interval=30"],
    ),
    (
        "client",
        "determine_refresh",
        "true",
        &["--determine-refresh=false"],
    ),
    (
        "client",
        "determine_refresh",
        "false",
        &["--determine-refresh"],
    ),
    (
        "client",
        "nat_traversal",
        "'rfc4380'",
        &["--nat-traversal=rfc6081"],
    ),
    ("client", "igd", "true", &["--igd=false"]),
    ("client", "igd", "false", &["--igd"]),
    (
        "client",
        "native_ipv6",
        "'ignore'",
        &["--native-ipv6=dormant"],
    ),
    ("client", "offload", "'off'", &["--offload=auto"]),
    ("client", "data_path", "'user'", &["--data-path=auto"]),
    ("client", "group", "'a'", &["--group=b"]),
    ("client", "metrics", "9545", &["--metrics=[::1]:9546"]),
    ("server", "address", "'192.0.2.1'", &["--address=192.0.2.5"]),
    (
        "server",
        "secondary",
        "'192.0.2.2'",
        &["--address=192.0.2.1", "--secondary=192.0.2.5"],
    ),
    (
        "server",
        "pairs",
        "[{ address = '192.0.2.1' }]",
        &["--address=192.0.2.5"],
    ),
    (
        "server",
        "allow_private",
        "true",
        &["--allow-private=false"],
    ),
    ("server", "allow_private", "false", &["--allow-private"]),
    (
        "server",
        "serve",
        "['2001:db8::/32']",
        &["--serve=2001:db9::/32"],
    ),
    ("server", "deny", "['192.0.2.1/32']", &["--deny=192.0.2.2"]),
    ("server", "secret_file", "'/a'", &["--secret-file=/b"]),
    ("server", "allow_plain", "true", &["--allow-plain=false"]),
    ("server", "allow_plain", "false", &["--allow-plain"]),
    ("server", "workers", "1", &["--workers=2"]),
    ("server", "relay_rate", "1", &["--relay-rate=2"]),
    ("server", "relay_total", "1", &["--relay-total=2"]),
    (
        "server",
        "advertisement_rate",
        "1",
        &["--advertisement-rate=2"],
    ),
    ("server", "data_path", "'user'", &["--data-path=auto"]),
    ("server", "metrics", "9545", &["--metrics=[::1]:9546"]),
    ("relay", "address", "'192.0.2.1'", &["--address=192.0.2.2"]),
    ("relay", "port", "1", &["--port=2"]),
    ("relay", "host", "true", &["--host=false"]),
    ("relay", "host", "false", &["--host"]),
    (
        "relay",
        "serve",
        "['2001:db8::/32']",
        &["--serve=2001:db9::/32"],
    ),
    ("relay", "deny", "['192.0.2.1/32']", &["--deny=192.0.2.2"]),
    (
        "relay",
        "direct_bubbles",
        "true",
        &["--direct-bubbles=false"],
    ),
    ("relay", "direct_bubbles", "false", &["--direct-bubbles"]),
    ("relay", "workers", "1", &["--workers=2"]),
    ("relay", "interface", "'a'", &["--interface=b"]),
    ("relay", "protect", "true", &["--protect=false"]),
    ("relay", "protect", "false", &["--protect"]),
    ("relay", "allow_private", "true", &["--allow-private=false"]),
    ("relay", "allow_private", "false", &["--allow-private"]),
    ("relay", "offload", "'off'", &["--offload=auto"]),
    ("relay", "data_path", "'user'", &["--data-path=auto"]),
    ("relay", "group", "'a'", &["--group=b"]),
    ("relay", "metrics", "9545", &["--metrics=[::1]:9546"]),
    ("firewall", "set", "'inet a b'", &["--set=inet a c"]),
    ("firewall", "backend", "'ufw'", &["--backend=firewalld"]),
    (
        "firewall",
        "allow_inbound",
        "['1/tcp']",
        &["--allow-inbound=2/tcp"],
    ),
    ("firewall", "interface", "'a'", &["--interface=b"]),
    ("firewall", "lease", "20", &["--lease=30"]),
    ("firewall", "follow", "['/a']", &["--follow=/b"]),
    (
        "firewall",
        "close_relay_forward",
        "true",
        &["--close-relay-forward=false"],
    ),
    (
        "firewall",
        "close_relay_forward",
        "false",
        &["--close-relay-forward"],
    ),
    ("firewall", "metrics", "9545", &["--metrics=[::1]:9546"]),
];

/// The settings of a daemon, with what it needs to start, from these keys and options.
fn settings_of(section: &str, key: Option<(&str, &str)>, options: &[&str]) -> String {
    let needed = match section {
        "client" => ("servers", "['z']"),
        "server" | "relay" => ("address", "'203.0.113.1'"),
        _ => ("interface", "'z'"),
    };
    let needed = key.is_none_or(|(key, _)| key != needed.0).then_some(needed);
    // An address in the file would stand beside the pair.
    let needed = needed.filter(|_| key.is_none_or(|(key, _)| key != "pairs"));
    let needed = match key {
        Some(("secondary", _)) => Some(("address", "'192.0.2.1'")),
        _ => needed,
    };
    // Without secrets, `allow_plain` is refused.
    let secrets = (section == "server" && key.is_none_or(|(key, _)| key != "secret_file"))
        .then_some(("secret_file", "'/s'"));
    let lines: Vec<_> = [needed, secrets, key].into_iter().flatten().collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("teredo.toml");
    std::fs::write(&file, format!("[{section}]\n{}\n", lines.join("\n"))).expect("a file");
    let config = Config::load(Some(&file))
        .unwrap_or_else(|mistakes| panic!("{key:?}: {}", Failure::from(mistakes)));
    let line = ["teredo", section]
        .into_iter()
        .chain(options.iter().copied());
    let socket = PathBuf::from("/s");
    match Cli::try_parse_from(line).expect("options").command {
        Some(Command::Client(args)) => {
            let settings = ClientSettings::new(args, config.client, socket);
            format!(
                "{:?}",
                settings.unwrap_or_else(|failure| panic!("{failure}"))
            )
        }
        Some(Command::Server(args)) => {
            let settings = ServerSettings::new(args, config.server, ServerSocket::new(None));
            format!(
                "{:?}",
                settings.unwrap_or_else(|failure| panic!("{failure}"))
            )
        }
        Some(Command::Relay(args)) => {
            let settings = RelaySettings::new(args, config.relay, socket);
            format!(
                "{:?}",
                settings.unwrap_or_else(|failure| panic!("{failure}"))
            )
        }
        Some(Command::Firewall(args)) => {
            format!("{:?}", FirewallSettings::new(args, config.firewall, socket))
        }
        other => panic!("{other:?}"),
    }
}

/// For every key: the file has an effect, and with the option, the same effect as no file.
#[test]
fn every_key_has_an_option_that_wins() {
    for &(section, key, value, options) in EVERY_KEY {
        let file = settings_of(section, Some((key, value)), &[]);
        let both = settings_of(section, Some((key, value)), options);
        let option = settings_of(section, None, options);
        assert_ne!(file, both, "[{section}] {key} and {options:?}");
        assert_eq!(both, option, "[{section}] {key} and {options:?}");
    }
}

#[test]
fn the_list_above_has_every_key() {
    for section in sections() {
        for key in keys(&section) {
            let mut keys = EVERY_KEY.iter().filter(|entry| entry.0 == section);
            assert!(keys.any(|entry| entry.1 == key), "[{section}] {key}");
        }
    }
}
