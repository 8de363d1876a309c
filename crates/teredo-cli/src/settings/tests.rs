use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use teredo::client::NatTraversal;
use teredo::server::RelayLimits;
use teredo::{Prefix, ServerAddress};
use teredo_firewall::{AgentConfig, Backend, Target};
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use super::*;
use crate::args::{ClientArgs, FirewallArgs, NativePolicy, RelayArgs, ServerArgs};
use crate::config::{ClientSection, FirewallSection, Pair, Places, RelaySection, ServerSection};
use crate::failure::{Exit, Failure};

mod command_line;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn server(
    address: Option<Ipv4Addr>,
    secondary: Option<Ipv4Addr>,
    section: &ServerSection,
) -> Result<ServerSettings, Failure> {
    let args = ServerArgs {
        addresses: address.into_iter().collect(),
        secondaries: secondary.into_iter().collect(),
        ..ServerArgs::default()
    };
    ServerSettings::new(args, section.clone(), ServerSocket::new(None))
}

#[test]
fn the_secondary_address_follows_the_primary_one() {
    let settings =
        server(Some(PRIMARY), None, &ServerSection::default()).expect("an address is enough");
    assert_eq!(settings.pairs, [ServerAddress::adjacent(PRIMARY)]);
    let none_after = server(Some(Ipv4Addr::BROADCAST), None, &ServerSection::default());
    assert_eq!(
        none_after.expect_err("no address follows").exit(),
        Exit::Usage
    );
}

#[test]
fn a_server_needs_two_different_addresses() {
    let failure = server(Some(PRIMARY), Some(PRIMARY), &ServerSection::default())
        .expect_err("one address twice");
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.to_string().contains("two addresses"));
    assert_eq!(
        server(None, None, &ServerSection::default())
            .expect_err("no address")
            .exit(),
        Exit::Usage
    );
}

#[test]
fn the_configured_secondary_address_belongs_to_the_configured_primary_one() {
    let section = ServerSection {
        address: Some(PRIMARY),
        secondary: Some(Ipv4Addr::new(192, 0, 2, 9)),
        allow_private: Some(true),
        ..ServerSection::default()
    };
    let configured = server(None, None, &section).expect("all is configured");
    assert_eq!(
        configured.pairs,
        [ServerAddress {
            primary: PRIMARY,
            secondary: Ipv4Addr::new(192, 0, 2, 9),
        }]
    );
    assert!(configured.allow_private);
    let other =
        server(Some(Ipv4Addr::new(203, 0, 113, 1)), None, &section).expect("an address is enough");
    assert_eq!(
        other.pairs,
        [ServerAddress::adjacent(Ipv4Addr::new(203, 0, 113, 1))]
    );
}

fn pairs(addresses: &[[u8; 4]], secondaries: &[[u8; 4]]) -> Result<ServerSettings, Failure> {
    let args = ServerArgs {
        addresses: addresses.iter().copied().map(Ipv4Addr::from).collect(),
        secondaries: secondaries.iter().copied().map(Ipv4Addr::from).collect(),
        ..ServerArgs::default()
    };
    ServerSettings::new(args, ServerSection::default(), ServerSocket::new(None))
}

#[test]
fn a_server_may_have_several_pairs() {
    let pair = |primary: [u8; 4], secondary: [u8; 4]| ServerAddress {
        primary: primary.into(),
        secondary: secondary.into(),
    };
    let adjacent = pairs(&[[192, 0, 2, 1], [192, 0, 2, 5]], &[]).expect("two pairs");
    assert_eq!(
        adjacent.pairs,
        [
            pair([192, 0, 2, 1], [192, 0, 2, 2]),
            pair([192, 0, 2, 5], [192, 0, 2, 6])
        ]
    );
    let given = pairs(
        &[[192, 0, 2, 1], [192, 0, 2, 5]],
        &[[192, 0, 2, 9], [192, 0, 2, 2]],
    );
    assert_eq!(
        given.expect("two pairs").pairs,
        [
            pair([192, 0, 2, 1], [192, 0, 2, 9]),
            pair([192, 0, 2, 5], [192, 0, 2, 2])
        ]
    );
    let one = &[192, 0, 2, 1];
    for (addresses, secondaries, what) in [
        (
            &[*one, [192, 0, 2, 2]][..],
            &[][..],
            "192.0.2.2 is in two pairs",
        ),
        (&[*one, *one], &[], "192.0.2.1 is in two pairs"),
        (
            &[*one, [192, 0, 2, 5]],
            &[[192, 0, 2, 9]],
            "--address was given 2 times",
        ),
        (
            &[*one],
            &[[192, 0, 2, 9], [192, 0, 2, 10]],
            "--secondary 2 times",
        ),
        (
            &[],
            &[[192, 0, 2, 9], [192, 0, 2, 10]],
            "--secondary 2 times",
        ),
    ] {
        let failure = pairs(addresses, secondaries).expect_err(what);
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains(what), "{failure}");
    }
}

#[test]
fn pairs_limits_and_threads_are_configured() {
    let section = ServerSection {
        address: Some(PRIMARY),
        pairs: Some(vec![Pair {
            address: Ipv4Addr::new(203, 0, 113, 1),
            secondary: None,
        }]),
        secret_file: Some(PathBuf::from("/etc/teredo/secrets")),
        allow_plain: Some(true),
        workers: NonZeroUsize::new(3),
        relay_rate: Some(10),
        relay_total: Some(0),
        advertisement_rate: Some(7),
        ..ServerSection::default()
    };
    let settings = server(None, None, &section).expect("all is configured");
    assert_eq!(settings.pairs.len(), 2);
    assert_eq!((settings.workers.get(), settings.allow_plain), (3, true));
    let to_one = settings.limits.per_destination.expect("a limit");
    assert_eq!((to_one.per_second.get(), to_one.burst.get()), (10, 20));
    assert_eq!(settings.limits.total, None, "0 is no limit");
    let total = ServerSection {
        relay_total: Some(5),
        ..section.clone()
    };
    let total = server(None, None, &total).expect("all is configured");
    let total = total.limits.total.expect("a limit");
    assert_eq!((total.per_second.get(), total.burst.get()), (5, 5));
    let advertisements = settings.limits.advertisements.expect("a limit");
    assert_eq!(advertisements.per_second.get(), 7);

    let usual = server(Some(PRIMARY), None, &ServerSection::default()).expect("an address");
    assert_eq!(usual.limits, RelayLimits::default());
    assert_eq!(usual.workers, cores());
}

/// Without secrets every client is served, so a lone `--allow-plain` hints at a forgotten option.
#[test]
fn allow_plain_needs_a_secret_file() {
    let args = ServerArgs {
        addresses: vec![PRIMARY],
        allow_plain: Some(true),
        ..ServerArgs::default()
    };
    let failure = ServerSettings::new(args, ServerSection::default(), ServerSocket::new(None))
        .expect_err("no secrets");
    assert_eq!(failure.exit(), Exit::Usage);
}

#[test]
fn a_client_needs_a_server() {
    let failure = ClientSettings::new(
        ClientArgs::default(),
        ClientSection::default(),
        PathBuf::new(),
    )
    .expect_err("no server");
    assert_eq!(failure.exit(), Exit::Usage);
}

#[test]
fn the_command_line_wins_over_the_configuration() {
    let section = ClientSection {
        servers: Some(vec!["a".into(), "b".into()]),
        interface: Some("tun7".into()),
        bind: None,
        port: NonZeroU16::new(1),
        default_route: Some(true),
        allow_private: Some(true),
        deny: Some(vec![(PRIMARY, 32)]),
        secret_file: Some(PathBuf::from("/etc/teredo/secret")),
        protect: Some(true),
        local_discovery: Some(true),
        refresh_interval: Some(Duration::from_secs(20)),
        determine_refresh: Some(true),
        nat_traversal: Some(NatTraversal::Rfc4380),
        igd: Some(true),
        native_ipv6: Some(NativePolicy::Dormant),
        offload: Some(Offload::Off),
        data_path: Some(DataPathChoice::Kernel),
        metrics: Some("127.0.0.1:9545".parse().expect("an address")),
        group: Some("wheel".into()),
        places: Places::default(),
    };
    let args = ClientArgs {
        servers: vec!["c".into()],
        port: NonZeroU16::new(2),
        no_default_route: true,
        no_local_discovery: true,
        native_ipv6: Some(NativePolicy::Ignore),
        group: Some("firewall".into()),
        ..ClientArgs::default()
    };
    let settings =
        ClientSettings::new(args, section, PathBuf::from("/s")).expect("there is a server");
    assert_eq!(
        settings,
        ClientSettings {
            servers: vec!["c".into()],
            interface: "tun7".into(),
            bind: Ipv4Addr::UNSPECIFIED,
            port: NonZeroU16::new(2),
            default_route: false,
            allow_private: true,
            deny: vec![(PRIMARY, 32)],
            secret_file: Some(PathBuf::from("/etc/teredo/secret")),
            protect: true,
            local_discovery: false,
            refresh_interval: Duration::from_secs(20),
            determine_refresh: true,
            nat_traversal: NatTraversal::Rfc4380,
            igd: true,
            native_ipv6: NativePolicy::Ignore,
            offload: Offload::Off,
            data_path: DataPathChoice::Kernel,
            group: Some("firewall".into()),
            metrics: Some("127.0.0.1:9545".parse().expect("an address")),
            socket: PathBuf::from("/s"),
        }
    );
}

#[test]
fn the_firewall_agent_has_its_own_table_by_default() {
    let none = FirewallArgs::default;
    let usual = FirewallSettings::new(none(), FirewallSection::default(), PathBuf::new());
    assert_eq!(usual.agent, AgentConfig::default());
    assert_eq!(usual.sockets, [PathBuf::new()]);
    assert!(!usual.remove);

    let section = FirewallSection {
        set: Some("inet filter teredo_ports".parse().expect("a set")),
        backend: Some(Backend::Ufw),
        allow_inbound: Some(vec!["22/tcp".parse().expect("an exception")]),
        interface: Some("tun7".into()),
        lease: Some(Duration::from_secs(60)),
        follow: Some(vec!["/b".into(), "/a".into()]),
        close_relay_forward: Some(true),
        metrics: None,
        places: Places::default(),
    };
    let args = FirewallArgs {
        lease: Some(Duration::from_secs(30)),
        ..none()
    };
    let FirewallSettings { agent, sockets, .. } =
        FirewallSettings::new(args, section, PathBuf::from("/a"));
    assert_eq!(sockets, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert!(agent.close_relay_forward);
    assert_eq!(agent.backend, Backend::Ufw);
    assert_eq!(
        (agent.lease, agent.renew),
        (Duration::from_secs(30), Duration::from_secs(10))
    );
    assert!(
        matches!(&agent.target, Target::AdministratorSet(set) if set.to_string() == "inet filter teredo_ports")
    );
    assert_eq!(
        (agent.interface.as_str(), agent.allow_inbound.len()),
        ("tun7", 1)
    );
}

/// R4380-5.5-01, R4380-5.2-07: by default a client is dormant beside native IPv6, looks for its neighbours, and does
/// not search for a longer interval.
#[test]
fn the_defaults_of_optional_features() {
    let args = ClientArgs {
        servers: vec!["a".into()],
        ..ClientArgs::default()
    };
    let settings = ClientSettings::new(args, ClientSection::default(), PathBuf::new())
        .expect("there is a server");
    assert_eq!(settings.native_ipv6, NativePolicy::Dormant);
    assert!(settings.local_discovery);
    assert!(!settings.determine_refresh);
    assert_eq!(settings.nat_traversal, NatTraversal::Rfc6081);
    assert!(!settings.igd);
    assert_eq!(settings.refresh_interval, Duration::from_secs(8));
}

fn relay(args: RelayArgs, section: RelaySection) -> Result<RelaySettings, Failure> {
    RelaySettings::new(args, section, PathBuf::from("/run/teredo/teredo.sock"))
}

#[test]
fn a_relay_needs_an_address_unless_it_is_for_its_host() {
    let refused = relay(RelayArgs::default(), RelaySection::default()).expect_err("no address");
    assert_eq!(refused.exit(), Exit::Usage);
    let settings = relay(
        RelayArgs {
            host: Some(true),
            ..RelayArgs::default()
        },
        RelaySection::default(),
    )
    .expect("the system chooses");
    assert_eq!(settings.address, Ipv4Addr::UNSPECIFIED);
    assert_eq!(settings.port, 3545);
    assert_eq!(settings.workers.get(), 1, "one lane is enough for one host");
}

#[test]
fn a_relay_on_the_command_line_wins() {
    let prefix = |text: &str| text.parse::<Prefix>().expect("a prefix");
    let section = || RelaySection {
        address: Some(PRIMARY),
        port: NonZeroU16::new(4000),
        host: Some(true),
        direct_bubbles: Some(false),
        workers: NonZeroUsize::new(3),
        ..RelaySection::default()
    };
    let configured = relay(RelayArgs::default(), section()).expect("complete");
    assert_eq!(configured.workers.get(), 3);
    assert!(configured.host);
    assert_eq!(
        (configured.port, configured.direct_bubbles),
        (4000, Some(false))
    );
    let args = RelayArgs {
        serve: vec![prefix("2001:db8:1::/48")],
        direct_bubbles: Some(true),
        ..RelayArgs::default()
    };
    let settings = relay(args, section()).expect("complete");
    assert!(!settings.host);
    assert_eq!(settings.serve, [prefix("2001:db8:1::/48")]);
    assert_eq!(settings.direct_bubbles, Some(true));
}

/// Each key is valid by itself.
#[test]
fn keys_that_contradict_each_other_are_named() {
    let relay_section = || RelaySection {
        address: Some(PRIMARY),
        host: Some(true),
        serve: Some(vec!["2001:db8::/32".parse().expect("a prefix")]),
        ..RelaySection::default()
    };
    let config = || Config {
        relay: relay_section(),
        ..Config::default()
    };
    assert_eq!(conflicts(&config()), [Conflict::HostServes]);
    let failure = relay(RelayArgs::default(), relay_section()).expect_err("both");
    assert_eq!(failure.exit(), Exit::Usage);
    let host = RelayArgs {
        host: Some(true),
        ..RelayArgs::default()
    };
    let settings = relay(host, relay_section()).expect("the command line wins");
    assert!(settings.host && settings.serve.is_empty());

    let server = |section| Config {
        server: section,
        ..Config::default()
    };
    let twice = server(ServerSection {
        address: Some(PRIMARY),
        secondary: Some(PRIMARY),
        ..ServerSection::default()
    });
    let one_address = Conflict::OneAddress {
        key: "address",
        primary: PRIMARY,
    };
    assert_eq!(conflicts(&twice), [one_address]);
    let incomplete = server(ServerSection {
        allow_plain: Some(true),
        ..ServerSection::default()
    });
    assert_eq!(
        conflicts(&incomplete),
        [],
        "the rest may come from the command line"
    );
}

/// Each conflict in a configuration is named, and not the first alone.
#[test]
fn every_conflict_of_a_server_is_named() {
    let section = ServerSection {
        address: Some(PRIMARY),
        secondary: Some(PRIMARY),
        pairs: Some(vec![Pair {
            address: Ipv4Addr::BROADCAST,
            secondary: None,
        }]),
        allow_plain: Some(true),
        ..ServerSection::default()
    };
    let failure = server(None, None, &section).expect_err("three conflicts");
    assert_eq!(failure.exit(), Exit::Usage);
    let said = failure.to_string();
    for part in [
        "3 mistakes",
        "both are 192.0.2.1",
        "no next address",
        "secret file",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
