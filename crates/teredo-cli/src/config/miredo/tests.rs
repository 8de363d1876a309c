use super::directive::NotMiredo;
use super::*;
use crate::config::document::Document;

/// The settings, and each remark with its line; what is printed must be valid.
fn import(text: &str) -> (String, Vec<(Option<usize>, String)>) {
    let translation = Translation::of(Source::parse(text.as_bytes()).expect("miredo's"));
    let toml = translation.to_string();
    let document = Document::parse(Path::new("f"), toml.as_bytes());
    assert!(
        document.mistakes.is_empty(),
        "{toml}{:?}",
        document.mistakes
    );
    let settings = toml.lines().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let remarks = translation.remarks.into_iter();
    (
        settings.collect::<Vec<_>>().join("\n"),
        remarks.map(|remark| (remark.line, remark.text)).collect(),
    )
}

fn assert_import(text: &str, settings: &str, remarks: &[(usize, &str)]) {
    let (found, said) = import(text);
    assert_eq!(found, settings, "{text}");
    let said: Vec<_> = said
        .iter()
        .filter_map(|(line, said)| line.map(|line| (line, said)))
        .collect();
    let is_expected = said.len() == remarks.len()
        && said
            .iter()
            .zip(remarks)
            .all(|((line, said), (at, part))| line == at && said.contains(part));
    assert!(is_expected, "{text}\n{said:#?}");
}

#[test]
fn a_client_is_translated() {
    assert_import(
        "# a comment\nInterfaceName\tteredo\n\n   ServerAddress   teredo.example.net\nBindPort 3545\nBindAddress 192.0.2.7\n",
        "[client]\ninterface = \"teredo\"\nservers = [\"teredo.example.net\"]\nport = 3545\nbind = \"192.0.2.7\"",
        &[],
    );
    assert_import(
        "relaytype AutoClient\nSERVERADDRESS 192.0.2.1\nServerAddress2 192.0.2.9\nDefaultRoute off\n",
        "[client]\nservers = [\"192.0.2.1,192.0.2.9\"]\ndefault_route = false",
        &[],
    );
}

#[test]
fn a_relay_is_translated() {
    for kind in ["relay", "cone", "Cone"] {
        assert_import(
            &format!("RelayType {kind}\nBindAddress 192.0.2.7\nBindPort 0x0dd9\nInterfaceName t\n"),
            "[relay]\naddress = \"192.0.2.7\"\nport = 3545\ninterface = \"t\"",
            &[],
        );
    }
    assert_import(
        "RelayType restricted\nServerAddress 192.0.2.1\nBindPort 0\nBindAddress 0.0.0.0\n",
        "[relay]\ndirect_bubbles = true",
        &[
            (2, "for a client alone"),
            (3, "is fixed"),
            (4, "an address that clients can reach"),
        ],
    );
}

#[test]
fn a_server_is_translated() {
    assert_import(
        "ServerBindAddress 192.0.2.1\nServerBindAddress2 192.0.2.9\nSyslogFacility local3\nPrefix 2001:0000::\nInterfaceMTU 1400\n",
        "[server]\naddress = \"192.0.2.1\"\nsecondary = \"192.0.2.9\"",
        &[(3, "standard error"), (4, "no other prefix"), (5, "1280")],
    );
    assert_import(
        "ServerBindAddress2 192.0.2.9\nServerBindAddress server.example\nPrefix 3ffe:831f::\n",
        "[server]\nsecondary = \"192.0.2.9\"",
        &[(2, "no name"), (3, "2001::/32")],
    );
    assert_import(
        "ServerBindAddress2 192.0.2.9\n",
        "",
        &[(1, "there is no ServerBindAddress")],
    );
    // Old versions had one file for all.
    assert_import(
        "RelayType disabled\nServerBindAddress 192.0.2.1\nBindPort 1\n",
        "[server]\naddress = \"192.0.2.1\"",
        &[(3, "RelayType is disabled")],
    );
}

/// miredo-server ignores what is for a client.
#[test]
fn keys_of_a_client_in_a_file_of_a_server_are_named() {
    assert_import(
        "BindPort 1\nServerBindAddress 192.0.2.1\nDefaultRoute yes\n",
        "[server]\naddress = \"192.0.2.1\"",
        &[
            (1, "the file is for a server"),
            (3, "the file is for a server"),
        ],
    );
}

/// Each setting is valid, but a server would not start with both.
#[test]
fn addresses_that_contradict_each_other_are_not_translated() {
    assert_import(
        "ServerBindAddress2 192.0.2.1\nServerBindAddress 192.0.2.1\n",
        "[server]\naddress = \"192.0.2.1\"",
        &[(1, "both are 192.0.2.1")],
    );
    assert_import(
        "ServerBindAddress 255.255.255.255\n",
        "[server]",
        &[(1, "no next address")],
    );
    assert_import(
        "ServerAddress 192.0.2.1\nServerAddress2 192.0.2.1\n",
        "[client]\nservers = [\"192.0.2.1\"]",
        &[(2, "the same as ServerAddress")],
    );
    assert_import(
        "ServerAddress a.example\nServerAddress2 b.example\n",
        "[client]\nservers = [\"a.example\"]",
        &[(2, "PRIMARY,SECONDARY")],
    );
}

#[test]
fn what_has_no_translation_is_named_with_the_reason() {
    assert_import(
        "ServerAddress 192.0.2.1\nSyslogFacility daemon\nIgnoreConeBit yes\nServerAdress x\nfoo\nServerAddress 192.0.2.2\nBindPort\nBindPort 70000\nDefaultRoute maybe\nInterfaceName far/too/odd\nBindAddress host.example\nRelayType proxy\n",
        "[client]\nservers = [\"192.0.2.1\"]",
        &[
            (2, "SyslogFacility 'daemon' is not translated"),
            (3, "RFC 5991"),
            (4, "did you mean 'ServerAddress'?"),
            (5, "'foo' is not translated: miredo has no such directive"),
            (6, "it is set before, in line 1"),
            (7, "BindPort is not translated: it has no value"),
            (8, "0 to 65535"),
            (9, "neither yes nor no"),
            (10, "an interface name has no slash"),
            (11, "and no name"),
            (12, "expected client"),
        ],
    );
}

#[test]
fn odd_spelling_is_read() {
    assert_import(
        "\u{feff}ServerAddress \"192.0.2.1\" # why\r\nInterfaceName 'te red'\r\nBindPort 010 and more\r\n",
        "[client]\nservers = [\"192.0.2.1\"]\nport = 8",
        &[
            (1, "without its quotes"),
            (2, "without its quotes"),
            (
                2,
                "an interface name has no slash, colon, percent sign or space",
            ),
            (3, "'and more' behind BindPort"),
        ],
    );
    let long = format!("ServerAddress 192.0.2.1\nBindPort {}1\n", " ".repeat(1100));
    assert_import(
        &long,
        "[client]\nservers = [\"192.0.2.1\"]",
        &[(2, "more than 1055 bytes")],
    );
    // In a comment of another encoding, and in a value.
    let bytes = b"# R\xe9mi\nServerAddress a\"\x1b[31m\\\n";
    let translation = Translation::of(Source::parse(bytes).expect("miredo's"));
    let remarks = format!("{:?}", translation.remarks);
    assert!(!translation.to_string().contains('\u{1b}'));
    assert!(
        translation
            .remarks
            .iter()
            .all(|remark| !remark.text.contains('\u{1b}')),
        "{remarks}"
    );
}

#[test]
fn what_is_missing_is_said() {
    let missing = |text, part: &str| {
        let (_, remarks) = import(text);
        let found = remarks
            .iter()
            .any(|(line, said)| line.is_none() && said.contains(part));
        assert!(found, "{text}: {remarks:?}");
    };
    missing("RelayType cone\n", "set 'address' under [relay]");
    missing("BindPort 1\n", "set 'servers' under [client]");
    missing(
        "ServerBindAddress host.example\n",
        "set 'address' under [server]",
    );
    missing("ServerAddress 192.0.2.1\n", "native_ipv6 = \"ignore\"");
    assert!(
        import("RelayType autoclient\nServerAddress 192.0.2.1\n")
            .1
            .is_empty()
    );
}

#[test]
fn other_files_are_refused() {
    let refused = |bytes: &[u8]| Source::parse(bytes).expect_err("not miredo's");
    let foreign = |line, toml| NotMiredo::Foreign { line, toml };
    assert_eq!(refused(b""), NotMiredo::Empty);
    assert_eq!(refused(b"# a comment\n\n"), NotMiredo::Empty);
    assert_eq!(
        refused(b"\x7fELF\x02\x01\x01\0ServerAddress 192.0.2.1\n"),
        NotMiredo::Binary
    );
    assert_eq!(
        refused(b"# teredo\n[client]\nservers = ['a']\n"),
        foreign(2, true)
    );
    assert_eq!(
        refused(b"root:x:0:0:root:/root:/bin/sh\n"),
        foreign(1, false)
    );
    // That of sshd has a directive of the same name.
    let sshd = b"Port 22\nSyslogFacility AUTH\nPermitRootLogin no\n";
    assert_eq!(refused(sshd), foreign(1, false));
    Source::parse(b"ServerAddress a\nfoo 1\nbar 2\n").expect("two slips make it no other file");
}

#[test]
fn numbers_are_those_of_c() {
    use super::number::{number, switch};
    for (text, value) in [
        ("3545", Some(3545)),
        ("0", Some(0)),
        ("0x0DD9", Some(3545)),
        ("010", Some(8)),
        ("65535", Some(65535)),
        ("65536", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("0x", None),
        ("09", None),
        ("1e3", None),
    ] {
        assert_eq!(number(text), value, "{text}");
    }
    assert_eq!(
        ["Yes", "enabled", "2", "no", "DISABLED", "0", "maybe"].map(switch),
        [
            Some(true),
            Some(true),
            Some(true),
            Some(false),
            Some(false),
            Some(false),
            None
        ]
    );
}
