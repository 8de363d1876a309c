use super::document::Document;
use super::layers::together;
use super::*;

const PATH: &str = "/etc/teredo/teredo.toml";

fn parse(text: &str) -> Result<Config, Mistakes> {
    let document = Document::parse(Path::new(PATH), text.as_bytes());
    let mut mistakes = Mistakes::of(None);
    mistakes.extend(document.mistakes);
    mistakes.none_or(together(document.entries))
}

fn message(text: &str) -> String {
    Failure::from(parse(text).expect_err("must be refused")).to_string()
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        [client]
        servers = ["teredo.example.net", "192.0.2.1"]
        interface = "teredo0"
        bind = "198.51.100.7"
        port = 40001
        default_route = false
        allow_private = true
        deny = ["198.51.100.0/24"]
        secret_file = "/etc/teredo/secret"
        local_discovery = false
        refresh_interval = 12
        determine_refresh = true
        nat_traversal = "rfc4380"
        igd = true
        native_ipv6 = "ignore"
        offload = "off"
        data_path = "user"

        [server]
        address = "192.0.2.1"
        secondary = "192.0.2.9"
        pairs = [{ address = "203.0.113.1" }, { address = "203.0.113.5", secondary = "203.0.113.7" }]
        allow_private = true
        serve = ["64:ff9b::/96"]
        deny = ["203.0.113.0/24"]
        secret_file = "/etc/teredo/secrets"
        allow_plain = true
        workers = 2
        relay_rate = 100
        relay_total = 0
        advertisement_rate = 5000
        data_path = "kernel"

        [firewall]
        set = "inet filter teredo_ports"
        allow_inbound = ["22/tcp", "443/udp"]
        interface = "teredo0"
        lease = 30
        "#,
    )
    .expect("a whole configuration");
    assert_eq!(
        config.client.servers.as_deref(),
        Some(&["teredo.example.net".to_owned(), "192.0.2.1".to_owned()][..])
    );
    assert_eq!(config.client.interface.as_deref(), Some("teredo0"));
    assert_eq!(config.client.bind, Some(Ipv4Addr::new(198, 51, 100, 7)));
    assert_eq!(config.client.port.map(NonZeroU16::get), Some(40001));
    assert_eq!(
        (config.client.default_route, config.client.allow_private),
        (Some(false), Some(true))
    );
    let secret = Path::new("/etc/teredo/secret");
    assert_eq!(config.client.secret_file.as_deref(), Some(secret));
    let denied = |net: [u8; 4]| vec![(Ipv4Addr::from(net), 24)];
    assert_eq!(config.client.deny, Some(denied([198, 51, 100, 0])));
    let server = &config.server;
    assert_eq!(server.deny, Some(denied([203, 0, 113, 0])));
    assert_eq!(server.serve.as_ref().map(Vec::len), Some(1));
    assert_eq!(
        server
            .pairs
            .as_deref()
            .map(|pairs| pairs.iter().map(|pair| pair.secondary).collect()),
        Some(vec![None, Some(Ipv4Addr::new(203, 0, 113, 7))])
    );
    let secrets = Path::new("/etc/teredo/secrets");
    assert_eq!(server.secret_file.as_deref(), Some(secrets));
    assert_eq!(
        (server.allow_plain, server.workers.map(NonZeroUsize::get)),
        (Some(true), Some(2))
    );
    assert_eq!(
        (
            server.relay_rate,
            server.relay_total,
            server.advertisement_rate
        ),
        (Some(100), Some(0), Some(5000))
    );
    assert_eq!(config.client.local_discovery, Some(false));
    assert_eq!(
        config.client.refresh_interval,
        Some(Duration::from_secs(12))
    );
    assert_eq!(config.client.determine_refresh, Some(true));
    assert_eq!(config.client.nat_traversal, Some(NatTraversal::Rfc4380));
    assert_eq!(config.client.igd, Some(true));
    assert_eq!(config.client.native_ipv6, Some(NativePolicy::Ignore));
    assert_eq!(config.client.offload, Some(Offload::Off));
    assert_eq!(config.client.data_path, Some(DataPathChoice::User));
    assert_eq!(config.server.data_path, Some(DataPathChoice::Kernel));
    assert_eq!(config.server.secondary, Some(Ipv4Addr::new(192, 0, 2, 9)));
    assert_eq!(
        config.firewall.allow_inbound.map(|ports| ports.len()),
        Some(2)
    );
    assert_eq!(config.firewall.lease, Some(Duration::from_secs(30)));
}

#[test]
fn an_empty_file_sets_nothing() {
    assert_eq!(parse("").expect("nothing to refuse"), Config::default());
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_line() {
    assert_eq!(
        message("[client]\n\ninterfase = \"x\"\n"),
        "/etc/teredo/teredo.toml:3: unknown key 'interfase'"
    );
    assert_eq!(
        message("[client]\nport = 1\n[clinet]\n"),
        "/etc/teredo/teredo.toml:3: unknown key 'clinet'"
    );
}

#[test]
fn the_nearest_known_key_is_offered() {
    let hint = |text: &str| {
        let mut bytes = Vec::new();
        Failure::from(parse(text).expect_err("must be refused"))
            .report(anstream::StripStream::new(&mut bytes));
        String::from_utf8(bytes)
            .expect("text")
            .lines()
            .nth(1)
            .map(str::to_owned)
    };
    assert_eq!(
        hint("[client]\ninterfase = 1").as_deref(),
        Some("hint: did you mean 'interface'?")
    );
    assert_eq!(
        hint("[client]\nallow-private = true").as_deref(),
        Some("hint: did you mean 'allow_private'?")
    );
    assert_eq!(
        hint("[server]\ncolour = 1").as_deref(),
        Some(
            "hint: known keys: address, secondary, pairs, allow_private, serve, deny, secret_file, allow_plain, workers, relay_rate, relay_total, advertisement_rate, data_path, metrics"
        )
    );
}

#[test]
fn wrong_values_are_named_with_their_line() {
    for (text, line, part) in [
        ("[client]\nport = 0", 2, "0 is not a port"),
        (
            "[client]\nport = 70000",
            2,
            "70000 is not a port: expected a number from 1 to 65535",
        ),
        ("[client]\n\nbind = \"::1\"", 3, "IPv4"),
        ("[client]\ninterface = \"far/too/odd\"", 2, "interface name"),
        ("[client]\nservers = [\"a b\"]", 2, "a server is"),
        ("[firewall]\nlease = -1", 2, "expected seconds"),
        ("[firewall]\nlease = true", 2, "boolean"),
        ("[firewall]\nallow_inbound = [\"22\"]", 2, "'22'"),
        ("[firewall]\nset = \"inet filter\"", 2, "inet filter"),
        ("[client\n", 1, ""),
    ] {
        let said = message(text);
        assert!(
            said.starts_with(&format!("{PATH}:{line}: ")) && said.contains(part),
            "{text:?} gave {said:?}"
        );
    }
}

#[test]
fn a_policy_that_does_not_exist_is_named() {
    let said = message("[client]\nnative_ipv6 = \"sleep\"\n");
    for word in ["teredo.toml:2", "sleep", "dormant", "ignore"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_relay_has_a_section() {
    let text = "[relay]\naddress = '192.0.2.9'\nport = 4545\nserve = ['2001:db8::/32']\ndeny = ['198.51.100.0/24', '203.0.113.7']\n";
    let config = parse(text).expect("valid");
    assert_eq!(config.relay.port, NonZeroU16::new(4545));
    assert_eq!(config.relay.serve.expect("given").len(), 1);
    let deny = [
        ([198, 51, 100, 0].into(), 24),
        ([203, 0, 113, 7].into(), 32),
    ];
    assert_eq!(config.relay.deny.expect("given"), deny);
    for wrong in [
        "serve = ['2001:db8::']",
        "deny = ['192.0.2.0/33']",
        "port = 0",
        "hosts = true",
    ] {
        let text = format!("[relay]\n{wrong}\n");
        parse(&text).expect_err(wrong);
    }
}
