//! Rules against the tunnel's own traffic: of a client, of a relay and of a server.

use super::*;

#[track_caller]
fn answers(from: &Host, to: Ipv6Addr, is_wanted: bool) {
    // A kernel that may not send says so.
    let replies = teredo_lab::ping(from, to, 3, SECOND);
    let is_answered = replies
        .as_ref()
        .is_ok_and(|replies| replies.are_all_in_order(3));
    assert_eq!(is_answered, is_wanted, "{replies:?}");
}

/// "IPv6 is switched off" by policies: what gets out, and what comes back, each named and mended in turn.
#[test]
fn policies_of_ip6tables_are_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let far = world.right.host("bob").unwrap();
    let other = world.client(&far, &[]);
    let bob = other.qualified().address.unwrap();
    answers(&patient.host, bob, true);
    patient.ask().names("firewall.tunnel", "ok", &[]);
    patient.type_each("ip6tables", &["-P INPUT DROP", "-P OUTPUT DROP"]);
    answers(&patient.host, bob, false);

    let findings = patient.ask();
    let mend = findings.names(
        "firewall.tunnel",
        "fail",
        &[
            "what it sends",
            "chain 'ip6 filter OUTPUT': its policy is drop",
            "ip6tables -I OUTPUT -o teredo -j ACCEPT",
        ],
    );
    patient.type_in(mend);
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.tunnel",
        "fail",
        &["the answers", "chain 'ip6 filter INPUT'"],
    );
    patient.type_in(mend);
    patient.ask().names("firewall.tunnel", "ok", &[]);
    answers(&patient.host, bob, true);

    // A host that lets out only single ports does so on purpose.
    patient.type_each(
        "ip6tables",
        &["-F OUTPUT", "-A OUTPUT -p tcp --dport 443 -j ACCEPT"],
    );
    patient.ask().names("firewall.tunnel", "ok", &[]);
}

/// A drop in another table of ip6tables than the usual one: the mend goes there.
#[test]
fn raw_rules_of_ip6tables_are_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&["--allow-inbound", "8022/tcp"]);
    let client = patient.client(&[]);
    client.qualified();
    let far = world.right.host("bob").unwrap();
    let other = world.client(&far, &[]);
    let bob = other.qualified().address.unwrap();
    patient.type_each(
        "ip6tables",
        &[
            "-t raw -A OUTPUT -o teredo -j DROP",
            "-t mangle -A INPUT -i teredo -j DROP",
        ],
    );
    answers(&patient.host, bob, false);
    for head in [
        "ip6tables -t raw -I OUTPUT -o teredo",
        "ip6tables -t mangle -I INPUT -i teredo",
    ] {
        let findings = patient.ask();
        patient.type_in(findings.names("firewall.tunnel", "fail", &[head]));
    }
    let words = ["ip6tables -t mangle -I INPUT -i teredo -p tcp --dport 8022"];
    let findings = patient.ask();
    patient.type_in(findings.names("firewall.tunnel", "fail", &words));
    let findings = patient.ask();
    findings.names("firewall.tunnel", "ok", &[]);
    let words = ["ip6tables -t mangle -I INPUT -i teredo -p ipv6-icmp"];
    patient.type_in(findings.names("firewall.icmpv6", "ok", &words));
    patient.ask().are_well();
    answers(&patient.host, bob, true);
}

/// A list of bogons that has the clients' network, and a port that another table closes.
#[test]
fn rules_against_other_clients_and_allowed_ports_are_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&["--allow-inbound", "8022/tcp"]);
    let client = patient.client(&[]);
    let own = client.qualified().address.unwrap();
    let far = world.right.host("bob").unwrap();
    let other = world.client(&far, &[]);
    other.qualified();
    let echo = "iifname \"teredo\" meta l4proto ipv6-icmp accept";
    nft(
        &patient.host,
        &format!(
            "table inet own {{ chain input {{ type filter hook input priority 0; ct state established accept; \
             ip6 saddr 2001::/32 drop; {echo}; }}; \
             chain output {{ type filter hook output priority 0; ip6 daddr 2001::/32 drop; }}; }}"
        ),
    );
    for words in [
        ["what it sends to other clients", "own output"],
        ["what other clients", "own input"],
    ] {
        let findings = patient.ask();
        patient.type_in(findings.names("firewall.tunnel", "fail", &words));
    }
    // The rule stands before the port, too.
    let findings = patient.ask();
    let words = ["port 8022/tcp of 'allow_inbound'", "own input"];
    patient.type_in(findings.names("firewall.tunnel", "fail", &words));
    patient.ask().names("firewall.tunnel", "ok", &[]);
    answers(&far, own, true);
    nft(&patient.host, "delete table inet own");
    patient.type_each(
        "ip6tables",
        &[
            "-P INPUT DROP",
            "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        ],
    );
    let findings = patient.ask();
    let words = ["ip6tables -I INPUT -i teredo -p tcp --dport 8022 -j ACCEPT"];
    patient.type_in(findings.names("firewall.tunnel", "fail", &words));
    patient.ask().names("firewall.tunnel", "ok", &[]);
}

/// A rule and a route that take the tunnel's packets.
#[test]
fn routes_that_take_the_tunnels_packets_are_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    patient.ask().are_well();
    let cases: [(&[&str], &str); 3] = [
        (
            &[
                "-6 route add unreachable default table 51820",
                "-6 rule add not fwmark 0xca6c table 51820 priority 100",
            ],
            "priority 100 not fwmark 0xca6c table 51820",
        ),
        (
            &["-6 route add blackhole 2001::/32 metric 1"],
            "blackhole 2001::/32",
        ),
        (
            &["-6 route add unreachable default metric 1"],
            "unreachable default",
        ),
    ];
    for (commands, named) in cases {
        patient.type_each("ip", commands);
        let findings = patient.ask();
        patient.type_in(findings.names("host.route6", "fail", &[named, "ip -6 r"]));
        patient.ask().are_well();
    }
}

/// A relay whose host does not let packets through, as Docker leaves it.
#[test]
fn a_relay_that_may_not_forward_is_named_and_mended() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let host = world.relay_host(Ipv4Addr::new(192, 0, 2, 99));
    let native = world.native(Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1));
    let _server = world.serve();
    let patient = Patient::new(&world, host, "[relay]\naddress = \"192.0.2.99\"\n");
    let _relay = patient.relay();
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &["--protect"]);
    let address = client.qualified().address.unwrap();
    answers(&native, address, true);

    patient.type_each("ip6tables", &["-P FORWARD DROP"]);
    answers(&native, address, false);
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.tunnel",
        "fail",
        &["what its relay forwards", "chain 'ip6 filter FORWARD'"],
    );
    patient.type_in(mend);
    answers(&native, address, true);
    patient.ask().names("firewall.tunnel", "ok", &[]);
    // Answers alone are a policy of their own.
    nft(
        &patient.host,
        "flush ruleset; table ip6 own { chain forward { type filter hook forward priority 0; \
         iifname \"teredo\" ct state new drop; }; }",
    );
    patient.ask().names("firewall.tunnel", "ok", &[]);
}

/// A server sends its clients' tests into the IPv6 Internet.
#[test]
fn a_server_that_may_not_send_is_named_and_mended() {
    let world = World::new(NatKind::None, NatKind::None);
    let patient = Patient::server_host(&world, SERVER);
    let _server = patient.server();
    patient.type_each("ip6tables", &["-P OUTPUT DROP"]);
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.tunnel",
        "fail",
        &["its server sends", "chain 'ip6 filter OUTPUT'"],
    );
    patient.type_in(mend);
    patient.ask().names("firewall.tunnel", "ok", &[]);
}

/// The client is qualified, and no network has a relay.
#[test]
fn a_network_without_a_relay_is_named() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&[]);
    client.qualified();
    patient
        .ask()
        .names("relay.answers", "ok", &["no native host was asked"]);
    let host = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
    answers(&patient.host, host, false);
    patient.ask().names(
        "relay.answers",
        "warn",
        &["no relay is found", "2001:db8:ffff::1"],
    );
}
