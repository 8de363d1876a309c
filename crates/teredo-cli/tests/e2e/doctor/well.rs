//! More hosts that are well: servers behind each firewall, and clients with several ways out.

use super::*;
use crate::firewalld::Firewalld;
use crate::ufw::Ufw;

/// The rules that a server needs, in the words of `program`, for its outer interface.
fn iptables(patient: &Patient, program: &str, last: &str) {
    patient.type_each(
        program,
        &[
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A INPUT -i eth0 -p udp --dport 3544 -j ACCEPT",
            last,
        ],
    );
}

/// A server that lets its port in has no trouble, whichever firewall does it, and by which interface.
#[test]
fn servers_behind_each_firewall_are_well() {
    let world = World::new(NatKind::None, NatKind::None);
    let patient = Patient::server_host(&world, SERVER);
    let _server = patient.server();
    nft(
        &patient.host,
        "table inet filter { chain input { type filter hook input priority filter; policy drop; iifname lo accept; \
         ct state established,related accept; meta l4proto ipv6-icmp accept; iifname eth0 udp dport 3544 accept; }; }",
    );
    patient.ask().are_well();
    nft(&patient.host, "flush ruleset");
    iptables(&patient, "iptables-legacy", "-P INPUT DROP");
    patient.ask().are_well();
    patient.type_each("iptables-legacy", &["-P INPUT ACCEPT", "-F INPUT"]);
    {
        let firewalld = Firewalld::start(&world, &patient.host);
        firewalld.tell(&["--add-port=3544/udp"]);
        patient.ask().are_well();
    }
    nft(&patient.host, "flush ruleset");
    let ufw = Ufw::enable(&world, &patient.host);
    ufw.type_in("ufw allow 3544/udp");
    patient.ask().are_well();
}

/// The set of a perimeter holds the ports of other hosts: it is none for the port of this host, and nothing to replace.
#[test]
fn a_server_at_a_perimeter_is_well() {
    let world = World::new(NatKind::None, NatKind::None);
    let patient = Patient::server_host(&world, SERVER);
    let _server = patient.server();
    nft(
        &patient.host,
        "table inet filter { set teredo_hosts { type ipv4_addr . inet_service; flags timeout; \
         elements = { 192.0.2.7 . 40001 timeout 1h comment \"teredo\" }; }; \
         chain forward { type filter hook forward priority filter; policy accept; \
         ip daddr . udp dport @teredo_hosts accept; }; }",
    );
    patient.ask().are_well();
}

/// The rules of wg-quick(8) with `AllowedIPs = 0.0.0.0/0`, and a second link that is used if the first one is gone.
#[test]
fn a_client_with_a_vpn_and_two_links_is_well() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    patient.type_in(
        "router=$(ip -4 route show default | cut -d' ' -f3)\n\
         ip link add eth1 type veth peer name far1\n\
         ip link set far1 up\nip link set eth1 up\n\
         ip address add 10.77.0.2/24 dev eth1\n\
         ip route add default via 10.77.0.1 dev eth1 metric 700\n\
         ip route add default via $router dev eth0 table 51820\n\
         ip rule add not fwmark 0xca6c table 51820 priority 32764\n\
         ip rule add table main suppress_prefixlength 0 priority 32763",
    );
    let client = patient.client(&[]);
    client.qualified();
    patient.ask_until("firewall.agent", "ok").are_well();
}
