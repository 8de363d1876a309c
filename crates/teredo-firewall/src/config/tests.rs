use super::*;

#[test]
fn a_set_is_named_by_three_words() {
    let path: SetPath = " ip6  filter\tports ".parse().unwrap();
    assert_eq!(path.table, TableName::new(Family::Ip6, "filter"));
    assert_eq!(path.to_string(), "ip6 filter ports");
    assert_eq!(
        path.create_command(),
        "nft add table ip6 filter && nft add set ip6 filter ports '{ type inet_service; flags timeout; }'"
    );
}

#[test]
fn what_names_no_set_is_told_why() {
    let error = |text: &str| text.parse::<SetPath>().unwrap_err().to_string();
    let shape = "names no set: expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'";
    assert_eq!(error(""), format!("'' {shape}"));
    assert_eq!(
        error("inet filter a b"),
        format!("'inet filter a b' {shape}")
    );
    assert_eq!(
        error("ipv4 filter ports"),
        "'ipv4' is no family of nftables: expected inet, ip, ip6, arp, bridge or netdev"
    );
    assert!(
        error(&format!("inet {} s", "x".repeat(256)))
            .ends_with("expected at most 255 bytes without NUL")
    );
}

#[test]
fn an_exception_is_a_port_and_a_protocol() {
    let exception: Exception = "443/UDP".parse().unwrap();
    assert_eq!(exception.to_string(), "443/udp");
    for (text, reason) in [
        (
            "22",
            "'22' is no exception: expected PORT/PROTO, for example 22/tcp",
        ),
        ("0/tcp", "'0' is no port: expected a number from 1 to 65535"),
        (
            "65536/tcp",
            "'65536' is no port: expected a number from 1 to 65535",
        ),
        (
            "22/icmp",
            "'icmp' is no protocol with ports: expected tcp, udp, sctp or dccp",
        ),
    ] {
        assert_eq!(text.parse::<Exception>().unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let named = |name: &str| AgentConfig {
        interface: name.to_owned(),
        ..AgentConfig::default()
    };
    assert_eq!(named("teredo").check(), Ok(()));
    assert_eq!(named("fifteen-bytes-x").check(), Ok(()));
    for name in ["", "..", "a/b", "a b", "sixteen-bytes-xx"] {
        assert_eq!(
            named(name).check(),
            Err(ConfigError::Interface(name.to_owned()))
        );
    }

    let own: SetPath = "inet teredo port".parse().unwrap();
    let config = AgentConfig {
        target: Target::AdministratorSet(own.clone()),
        ..AgentConfig::default()
    };
    assert_eq!(config.check(), Err(ConfigError::OwnTable(own)));

    let (lease, renew) = (Duration::from_secs(9), Duration::from_secs(5));
    let config = AgentConfig {
        lease,
        renew,
        ..AgentConfig::default()
    };
    assert_eq!(config.check(), Err(ConfigError::Lease { lease, renew }));
}
