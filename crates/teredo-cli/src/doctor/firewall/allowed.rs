//! The ports of the inside that the agent opens with `allow_inbound`, through the rules of everybody else.

use std::net::Ipv6Addr;

use teredo_firewall::{Exception, Protocol, ufw_commands};

use super::agent::gates;
use crate::doctor::check::{Check, id};
use crate::doctor::rules::packet::{Link, Packet, SOMEBODY, STRANGER6, TCP, UDP, kinds};
use crate::doctor::rules::walk::{Fate, Keeper, Place, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::server::reason_of;
use crate::doctor::shell::quote;
use crate::doctor::way::{insert, is_denied};

/// Those of the agent that runs, or of the settings.
fn exceptions(seen: &Seen) -> Vec<Exception> {
    let agent = seen.running("firewall").next();
    let by_option = agent.map_or_else(Vec::new, |process| process.options("--allow-inbound"));
    let by_option: Vec<_> = by_option
        .iter()
        .flat_map(|text| text.split(','))
        .filter_map(|text| text.trim().parse().ok())
        .collect();
    if by_option.is_empty() {
        seen.settings.firewall.agent.allow_inbound.clone()
    } else {
        by_option
    }
}

pub(super) fn ports(seen: &Seen, rules: &Rules, link: &Link, own: Ipv6Addr) -> Option<Check> {
    // Without an agent, nobody opens them.
    gates(seen).first()?;
    exceptions(seen).into_iter().find_map(|exception| {
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
            match rules.follow(&packet, None) {
                Fate::Dropped(place) if place.keeper != Keeper::Teredo => Some(place),
                _ => None,
            }
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
            .fix(mend(&place, link, &exception)),
        )
    })
}

fn mend(place: &Place, link: &Link, exception: &Exception) -> String {
    let name = quote(&link.name);
    let (port, protocol) = (exception.port, exception.protocol.to_string());
    let iptables = |program: &str| {
        format!("{program} -I INPUT -i {name} -p {protocol} --dport {port} -j ACCEPT")
    };
    match place.keeper {
        Keeper::Ufw => {
            let commands = ufw_commands();
            let commands = commands.split(" && ");
            let of_ipv6 = commands.filter(|line| !line.contains("/after.rules"));
            let lines = of_ipv6.collect::<Vec<_>>().join("\n");
            if is_denied(place) {
                lines
                    .replace("-after-input", "-before-input")
                    .replace("/after", "/before")
            } else {
                lines
            }
        }
        Keeper::Firewalld => {
            format!("firewall-cmd --permanent --add-port={port}/{protocol}\nfirewall-cmd --reload")
        }
        Keeper::Iptables => iptables("ip6tables"),
        Keeper::IptablesLegacy => iptables("ip6tables-legacy"),
        Keeper::Administrator | Keeper::Teredo => insert(
            place,
            &format!("iifname \"{}\" {protocol} dport {port}", link.name),
        ),
    }
}
