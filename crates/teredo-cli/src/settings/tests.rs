use std::time::Duration;

use super::*;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn server(
    address: Option<Ipv4Addr>,
    secondary: Option<Ipv4Addr>,
    section: &ServerSection,
) -> Result<ServerSettings, Failure> {
    ServerSettings::new(
        &ServerArgs {
            address,
            secondary,
            allow_private: false,
        },
        section,
    )
}

fn client() -> ClientArgs {
    ClientArgs {
        servers: Vec::new(),
        interface: None,
        bind: None,
        port: None,
        no_default_route: false,
        allow_private: false,
    }
}

#[test]
fn the_secondary_address_follows_the_primary_one() {
    let settings =
        server(Some(PRIMARY), None, &ServerSection::default()).expect("an address is enough");
    assert_eq!(settings.secondary, Ipv4Addr::new(192, 0, 2, 2));
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
    };
    let configured = server(None, None, &section).expect("all is configured");
    assert_eq!(
        (configured.primary, configured.secondary),
        (PRIMARY, Ipv4Addr::new(192, 0, 2, 9))
    );
    assert!(configured.allow_private);
    let other =
        server(Some(Ipv4Addr::new(203, 0, 113, 1)), None, &section).expect("an address is enough");
    assert_eq!(other.secondary, Ipv4Addr::new(203, 0, 113, 2));
}

#[test]
fn a_client_needs_a_server() {
    let failure = ClientSettings::new(client(), ClientSection::default(), PathBuf::new())
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
    };
    let args = ClientArgs {
        servers: vec!["c".into()],
        port: NonZeroU16::new(2),
        no_default_route: true,
        ..client()
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
            socket: PathBuf::from("/s"),
        }
    );
}

#[test]
fn the_firewall_agent_has_a_table_of_its_own_unless_told_otherwise() {
    let none = || FirewallArgs {
        set: None,
        allow_inbound: Vec::new(),
        interface: None,
        lease: None,
    };
    let usual = FirewallSettings::new(none(), FirewallSection::default(), PathBuf::new());
    assert_eq!(usual.agent, AgentConfig::default());

    let section = FirewallSection {
        set: Some("inet filter teredo_ports".parse().expect("a set")),
        allow_inbound: Some(vec!["22/tcp".parse().expect("an exception")]),
        interface: Some("tun7".into()),
        lease: Some(Duration::from_secs(60)),
    };
    let args = FirewallArgs {
        lease: Some(Duration::from_secs(30)),
        ..none()
    };
    let agent = FirewallSettings::new(args, section, PathBuf::new()).agent;
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
