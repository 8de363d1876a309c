//! The tunnel's own traffic: this host's packets, the answers to them, and the packets that a relay forwards.

use std::net::{IpAddr, Ipv6Addr};

use super::allowed;
use super::inside::tunnel;
use crate::doctor::check::{Check, id};
use crate::doctor::gather::any_link;
use crate::doctor::opening::{Direction, Opening, Rich};
use crate::doctor::rules::packet::{
    ESTABLISHED, ICMPV6, Link, NEW, Packet, SOMEBODY, STRANGER6, TCP, UDP, kinds,
};
use crate::doctor::rules::walk::{Fate, Keeper, Place, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;

/// Which packets are dropped, and with what consequence.
struct Loss {
    place: Place,
    what: &'static str,
    why: &'static str,
    way: Traffic,
}

#[derive(Clone, Copy)]
enum Traffic {
    Out,
    Answers,
    Forward,
    /// A server's, for its clients (RFC 4380 §5.2.9).
    ForClients,
    /// From other clients alone.
    FromClients,
}

impl Loss {
    /// `link` is the tunnel's interface, if there is one.
    fn check(&self, link: &str) -> Check {
        Check::fail(
            id::FIREWALL_TUNNEL,
            format!("{}: {}", self.what, self.place),
        )
        .why(self.why)
        .fix(mend(&self.place, link, self.way))
    }
}

pub(super) fn traffic(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_TUNNEL;
    let roles = seen.roles();
    if roles.server
        && let Some(loss) = served(seen, rules)
    {
        return loss.check("");
    }
    if !roles.client && !roles.relay {
        return Check::ok(id, "this host has no tunnel");
    }
    let Some((link, address)) = tunnel(seen) else {
        return Check::skip(id, "there is no tunnel now");
    };
    let forwards = roles.relay && !roles.client && !seen.relays_alone();
    let loss = if forwards {
        forwarded(seen, rules, &link)
    } else {
        sent(seen, rules, &link, address)
    };
    let ports = || allowed::ports(seen, rules, &link, address);
    match loss.map(|loss| loss.check(&link.name)).or_else(ports) {
        Some(check) => check,
        None if forwards => Check::ok(
            id,
            "the rules of this host let through what the relay forwards",
        ),
        None => Check::ok(
            id,
            "the rules of this host let the tunnel's own traffic out, and the answers in",
        ),
    }
}

/// A server's echo requests to the IPv6 Internet, whose source is a client's address.
fn served(seen: &Seen, rules: &Rules) -> Option<Loss> {
    let (_, name) = seen.host.native.as_ref()?;
    let native = seen.host.links.iter().find(|link| link.name == *name)?;
    let request = Packet {
        into: None,
        out_of: Some(native.clone()),
        source: SOMEBODY.into(),
        destination: STRANGER6.into(),
        ..kinds::icmpv6(native, SOMEBODY, 128)
    };
    dropped(rules, &request).map(|place| Loss {
        place,
        what: "this host drops what its server sends to the IPv6 Internet for clients",
        why: "the clients' tests of native hosts get no answer, so they reach none",
        way: Traffic::ForClients,
    })
}

/// From this host by the tunnel, and the answers.
fn sent(seen: &Seen, rules: &Rules, link: &Link, address: Ipv6Addr) -> Option<Loss> {
    let strangers: [Ipv6Addr; 2] = [STRANGER6, SOMEBODY];
    match &seen.host.native {
        Some((native, _)) if seen.roles().relay => {
            exchanged(rules, link, (*native).into(), SOMEBODY.into(), true)
        }
        _ => strangers.into_iter().find_map(|other| {
            exchanged(rules, link, address.into(), other.into(), other == SOMEBODY)
        }),
    }
}

/// Packets to `other`, and packets from it.
fn exchanged(
    rules: &Rules,
    link: &Link,
    own: IpAddr,
    other: IpAddr,
    is_peer: bool,
) -> Option<Loss> {
    let request = |protocol, port| Packet {
        into: None,
        out_of: Some(link.clone()),
        source: own,
        destination: other,
        ports: (protocol != ICMPV6).then_some((50_000, port)),
        icmp_type: (protocol == ICMPV6).then_some(128),
        ..kinds::inside(link, SOMEBODY, protocol, port)
    };
    // A host that lets out only single ports does so on purpose.
    let fates = [(TCP, 443), (TCP, 80), (UDP, 53), (ICMPV6, 0)]
        .map(|(protocol, port)| dropped(rules, &request(protocol, port)));
    if let [Some(place), Some(_), Some(_), Some(_)] = fates {
        return Some(Loss {
            place,
            what: if is_peer {
                "this host drops what it sends to other clients (2001::/32)"
            } else {
                "this host drops what it sends by the tunnel"
            },
            why: if is_peer {
                "clients do not reach each other; a list of bogons must not have 2001::/32 on a host with Teredo"
            } else {
                "nothing that its programs send to an IPv6 address gets out"
            },
            way: Traffic::Out,
        });
    }
    let answer = Packet {
        source: other,
        destination: own,
        ports: Some((443, 50_000)),
        state: ESTABLISHED,
        ..kinds::inside(link, SOMEBODY, TCP, 50_000)
    };
    if let Some(place) = dropped(rules, &answer) {
        return Some(Loss {
            place,
            what: if is_peer {
                "this host drops the answers of other clients (2001::/32)"
            } else {
                "this host drops the answers that come by the tunnel"
            },
            why: "its programs connect to an IPv6 address, and hear nothing",
            way: Traffic::Answers,
        });
    }
    // A rule about other clients alone, such as a list of bogons.
    let echo = |from: IpAddr| Packet {
        source: from,
        destination: own,
        icmp_type: Some(128),
        ports: None,
        ..kinds::inside(link, SOMEBODY, ICMPV6, 0)
    };
    (is_peer && dropped(rules, &echo(STRANGER6.into())).is_none()).then_some(())?;
    dropped(rules, &echo(other)).map(|place| Loss {
        place,
        what: "this host drops what other clients (2001::/32) send, and not what native hosts send",
        why: "clients do not reach this host; a list of bogons must not have 2001::/32 on a host with Teredo",
        way: Traffic::FromClients,
    })
}

/// Between the IPv6 Internet and the tunnel.
fn forwarded(seen: &Seen, rules: &Rules, link: &Link) -> Option<Loss> {
    let native = seen.host.native.as_ref();
    let native =
        native.and_then(|(_, name)| seen.host.links.iter().find(|link| link.name == *name));
    let native = native.cloned().unwrap_or_else(any_link);
    let stranger: IpAddr = STRANGER6.into();
    let fate = |inwards: bool, state| {
        let [into, out_of] = if inwards {
            [&native, link]
        } else {
            [link, &native]
        };
        let [source, destination] = if inwards {
            [stranger, SOMEBODY.into()]
        } else {
            [SOMEBODY.into(), stranger]
        };
        let packet = Packet {
            into: Some(into.clone()),
            out_of: Some(out_of.clone()),
            source,
            destination,
            state,
            ..kinds::inside(link, SOMEBODY, TCP, 443)
        };
        dropped(rules, &packet)
    };
    // A relay may keep connections from one side out, and then answers pass.
    let place = match [true, false].map(|inwards| fate(inwards, NEW)) {
        [Some(place), Some(_)] => Some(place),
        _ => fate(true, ESTABLISHED).or_else(|| fate(false, ESTABLISHED)),
    };
    place.map(|place| Loss {
        place,
        what: "this host drops what its relay forwards",
        why: "clients and the hosts of the IPv6 Internet do not reach each other through it",
        way: Traffic::Forward,
    })
}

/// The rule that drops the packet, unless it is in the agent's own table.
pub(super) fn dropped(rules: &Rules, packet: &Packet) -> Option<Place> {
    match rules.follow(packet, None) {
        Fate::Dropped(place) if place.keeper != Keeper::Teredo => Some(place),
        _ => None,
    }
}

fn mend(place: &Place, link: &str, way: Traffic) -> String {
    let name = quote(link);
    let opening = |direction: Direction, nft: String, iptables: String| Opening {
        direction,
        ipv6: true,
        nft,
        iptables: vec![iptables],
        ufw: None,
        firewalld: Vec::new(),
    };
    let pings = || {
        vec![Rich::Other(
            "source address=2001::/32 protocol value=ipv6-icmp".to_owned(),
        )]
    };
    let opening = match way {
        Traffic::Out => Opening {
            ufw: Some(format!("ufw allow out on {name}")),
            // A host's relay sends from native addresses.
            firewalld: ["source", "destination"]
                .map(|end| Rich::Other(format!("{end} address=2001::/32")))
                .to_vec(),
            ..opening(
                Direction::Out,
                format!("oifname \"{link}\""),
                format!("-o {name}"),
            )
        },
        Traffic::ForClients => Opening {
            firewalld: pings(),
            ..opening(
                Direction::Out,
                "ip6 saddr 2001::/32 meta l4proto ipv6-icmp".to_owned(),
                "-s 2001::/32 -p ipv6-icmp".to_owned(),
            )
        },
        // Connections are tracked behind the table 'raw'. firewalld drops no answers.
        Traffic::Answers if place.table.ends_with("raw") => opening(
            Direction::In,
            format!("iifname \"{link}\""),
            format!("-i {name}"),
        ),
        Traffic::Answers => opening(
            Direction::In,
            format!("iifname \"{link}\" ct state established,related"),
            format!("-i {name} -m conntrack --ctstate ESTABLISHED,RELATED"),
        ),
        Traffic::FromClients => Opening {
            firewalld: pings(),
            ..opening(
                Direction::In,
                format!("iifname \"{link}\" ip6 saddr 2001::/32 meta l4proto ipv6-icmp"),
                format!("-i {name} -s 2001::/32 -p ipv6-icmp"),
            )
        },
        Traffic::Forward => return forward(place, link),
    };
    opening.commands(place)
}

/// Lets through what a relay forwards, both ways.
fn forward(place: &Place, link: &str) -> String {
    let name = quote(link);
    match place.keeper {
        Keeper::Ufw => {
            return format!("ufw route allow in on {name}\nufw route allow out on {name}");
        }
        Keeper::Firewalld => return forward_by_zones(&name),
        _ => {}
    }
    // A chain before the routing knows only where a packet comes from, and one behind it, only where it goes.
    let [from, to] = [("-i", "-s", "POSTROUTING"), ("-o", "-d", "PREROUTING")].map(
        |(by_link, by_address, without)| {
            if place.chain == without {
                format!("{by_address} 2001::/32")
            } else {
                format!("{by_link} {name}")
            }
        },
    );
    let sides = [("iifname", from), ("oifname", to)].map(|(side, iptables)| {
        let opening = Opening {
            direction: Direction::Forward,
            ipv6: true,
            nft: format!("{side} \"{link}\""),
            iptables: vec![iptables],
            ufw: None,
            firewalld: Vec::new(),
        };
        opening.commands(place)
    });
    sides.join("\n")
}

/// firewalld forwards between zones. Each option needs a call of its own.
fn forward_by_zones(name: &str) -> String {
    let mut lines = vec![
        "firewall-cmd --permanent --new-zone=teredo".to_owned(),
        format!("firewall-cmd --permanent --zone=teredo --add-interface={name}"),
    ];
    for (policy, ingress, egress) in [
        ("teredo-out", "teredo", "ANY"),
        ("teredo-in", "ANY", "teredo"),
    ] {
        lines.push(format!("firewall-cmd --permanent --new-policy={policy}"));
        let options = [
            format!("--add-ingress-zone={ingress}"),
            format!("--add-egress-zone={egress}"),
            "--set-target=ACCEPT".to_owned(),
            "--set-priority=-100".to_owned(),
        ];
        lines.extend(
            options.map(|option| format!("firewall-cmd --permanent --policy={policy} {option}")),
        );
    }
    lines.push("firewall-cmd --reload".to_owned());
    lines.join("\n")
}
