use std::net::Ipv4Addr;
use std::path::Path;

use teredo_firewall::Target;

use super::*;

fn merged(arguments: &str) -> Settings {
    merged_with(Path::new("/nonexistent/teredo.toml"), arguments)
}

fn merged_with(file: &Path, arguments: &str) -> Settings {
    let mut settings = Settings::read(Some(file), Path::new("/run/x.sock"));
    settings.merge(&Process {
        name: "teredo".into(),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        ..Process::default()
    });
    settings
}

/// The options of a running daemon count more than the files.
#[test]
fn options_of_a_command_line_are_settings() {
    let client = merged("/usr/bin/teredo client --no-default-route --port=4000 --interface t1");
    assert!(!client.client.default_route);
    assert_eq!(client.client.port.map(u16::from), Some(4000));
    assert_eq!(client.client.interface, "t1");
    let relay = merged("teredo relay --address 192.0.2.1 --serve 2001:db8::/32");
    assert_eq!(relay.relay_serve, ["2001:db8::/32".parse().unwrap()]);
    assert!(merged("teredo relay --host").host_relay);
    let server = merged("teredo server --address 192.0.2.1 --serve 2001:db8::/32");
    assert_eq!(server.server_serve, ["2001:db8::/32".parse().unwrap()]);
    assert_eq!(
        server.serves,
        [1, 2].map(|last| Ipv4Addr::new(192, 0, 2, last))
    );
    let server = merged("teredo server --address 192.0.2.1 --secondary 192.0.2.9");
    assert_eq!(server.serves[1], Ipv4Addr::new(192, 0, 2, 9));
    let mut agent = merged("teredo firewall --allow-inbound 22/tcp");
    assert_eq!(agent.firewall.agent.allow_inbound.len(), 1);
    agent.merge(&Process {
        arguments: ["teredo", "firewall", "--set", "inet filter ports"]
            .map(str::to_owned)
            .to_vec(),
        ..Process::default()
    });
    assert!(matches!(
        agent.firewall.agent.target,
        Target::AdministratorSet(_)
    ));
    // Of another version.
    let client = merged("teredo client --port 4000 --no-such-option");
    assert_eq!(client.client.port, None);
}

/// The server of this host has the addresses that its options and its section give it together.
#[test]
fn options_of_a_server_join_its_section() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("teredo.toml");
    let text = "[server]\naddress = \"192.0.2.1\"\nsecondary = \"192.0.2.5\"\npairs = [{ address = \"192.0.2.7\" }]\n";
    std::fs::write(&file, text).unwrap();
    for (options, serves) in [
        ("", &[1, 5, 7, 8][..]),
        (" --secondary 192.0.2.9", &[1, 9, 7, 8]),
        (" --address 192.0.2.3", &[3, 4]),
        (" --address 192.0.2.3 --secondary 192.0.2.9", &[3, 9]),
    ] {
        let found = merged_with(&file, &format!("teredo server{options}")).serves;
        let serves = serves.iter().map(|&last| Ipv4Addr::new(192, 0, 2, last));
        assert_eq!(found, serves.collect::<Vec<_>>(), "{options}");
    }
}
