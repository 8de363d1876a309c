//! The ports of the inside that the agent opens with `allow_inbound`, through the rules of everybody else.

use std::net::Ipv6Addr;

use teredo_firewall::{Exception, Protocol, ufw_lines};

use super::agent::gates;
use super::tunnel::dropped;
use crate::doctor::check::{Check, id};
use crate::doctor::opening::{Direction, Opening, Rich, ufw_place};
use crate::doctor::rules::packet::{Link, Packet, SOMEBODY, STRANGER6, TCP, UDP, kinds};
use crate::doctor::rules::walk::{Place, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::server::reason_of;
use crate::doctor::shell::quote;

pub(super) fn ports(seen: &Seen, rules: &Rules, link: &Link, own: Ipv6Addr) -> Option<Check> {
    // Without an agent, nobody opens them.
    gates(seen).first()?;
    seen.settings
        .firewall
        .agent
        .allow_inbound
        .iter()
        .find_map(|exception| {
            let protocol = match exception.protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
                _ => return None,
            };
            let port = exception.port.get();
            let mut strangers = [STRANGER6, SOMEBODY].into_iter();
            let place = strangers.find_map(|from| {
                let packet = Packet {
                    source: from.into(),
                    ..kinds::inside(link, own, protocol, port)
                };
                dropped(rules, &packet)
            })?;
            Some(
                Check::fail(
                    id::FIREWALL_TUNNEL,
                    format!("port {exception} of 'allow_inbound' is closed all the same: {place}"),
                )
                .why(format!(
                    "the agent opens it in its own table; {}",
                    reason_of(&place)
                ))
                .fix(mend(&place, link, exception)),
            )
        })
}

fn mend(place: &Place, link: &Link, exception: &Exception) -> String {
    let name = quote(&link.name);
    let (port, protocol) = (exception.port, exception.protocol.to_string());
    let opening = Opening {
        direction: Direction::In,
        ipv6: true,
        nft: format!("iifname \"{}\" {protocol} dport {port}", link.name),
        iptables: vec![format!("-i {name} -p {protocol} --dport {port}")],
        ufw: Some(ufw_lines(ufw_place(place), false).join("\n")),
        firewalld: vec![Rich::Port(port.get(), protocol)],
    };
    opening.commands(place)
}
