//! The tunnel's own traffic: this host's packets, the answers to them, and the packets that a relay forwards.

use std::net::{IpAddr, Ipv6Addr};

use super::allowed;
use super::inside::tunnel;
use crate::doctor::check::{Check, id};
use crate::doctor::gather::any_link;
use crate::doctor::rules::packet::{
    ESTABLISHED, ICMPV6, Link, NEW, Packet, SOMEBODY, STRANGER6, TCP, UDP, kinds,
};
use crate::doctor::rules::walk::{Fate, Keeper, Place, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;
use crate::doctor::way::insert;

/// Which packets are dropped, and with what consequence.
struct Loss {
    place: Place,
    what: &'static str,
    why: &'static str,
    way: Direction,
}

#[derive(Clone, Copy)]
enum Direction {
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
        way: Direction::ForClients,
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
            way: Direction::Out,
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
            way: Direction::Answers,
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
        way: Direction::FromClients,
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
        way: Direction::Forward,
    })
}

/// The rule that drops the packet, unless it is in the agent's own table.
fn dropped(rules: &Rules, packet: &Packet) -> Option<Place> {
    match rules.follow(packet, None) {
        Fate::Dropped(place) if place.keeper != Keeper::Teredo => Some(place),
        _ => None,
    }
}

fn mend(place: &Place, link: &str, way: Direction) -> String {
    let name = quote(link);
    let iptables = |program: &str| match way {
        Direction::Out => format!("{program} -I OUTPUT -o {name} -j ACCEPT"),
        Direction::ForClients => format!("{program} -I OUTPUT -s 2001::/32 -p ipv6-icmp -j ACCEPT"),
        Direction::Answers => format!(
            "{program} -I INPUT -i {name} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
        ),
        Direction::FromClients => {
            format!("{program} -I INPUT -i {name} -s 2001::/32 -p ipv6-icmp -j ACCEPT")
        }
        Direction::Forward => {
            format!(
                "{program} -I FORWARD -i {name} -j ACCEPT\n{program} -I FORWARD -o {name} -j ACCEPT"
            )
        }
    };
    match (place.keeper, way) {
        (Keeper::Ufw, Direction::Out) => format!("ufw allow out on {name}"),
        (Keeper::Ufw, Direction::Forward) => {
            format!("ufw route allow in on {name}\nufw route allow out on {name}")
        }
        (Keeper::Iptables | Keeper::Ufw, _) => iptables("ip6tables"),
        (Keeper::IptablesLegacy, _) => iptables("ip6tables-legacy"),
        (Keeper::Firewalld, Direction::Forward) => [
            "firewall-cmd --permanent --new-policy teredo-out",
            "firewall-cmd --permanent --new-policy teredo-in",
            "firewall-cmd --permanent --new-zone teredo",
            &format!("firewall-cmd --permanent --zone teredo --add-interface {name}"),
            "firewall-cmd --permanent --policy teredo-out --add-ingress-zone teredo --add-egress-zone ANY --set-target ACCEPT",
            "firewall-cmd --permanent --policy teredo-in --add-ingress-zone ANY --add-egress-zone teredo --set-target ACCEPT",
            "firewall-cmd --reload",
        ]
        .join("\n"),
        (Keeper::Administrator | Keeper::Teredo, Direction::ForClients) => {
            insert(place, "ip6 saddr 2001::/32 meta l4proto ipv6-icmp")
        }
        (Keeper::Firewalld, Direction::ForClients) => {
            "firewall-cmd --direct --add-rule ipv6 filter OUTPUT 0 -s 2001::/32 -p ipv6-icmp -j ACCEPT".to_owned()
        }
        (Keeper::Firewalld, _) => format!(
            "firewall-cmd --direct --add-rule ipv6 filter OUTPUT 0 -o {name} -j ACCEPT"
        ),
        (Keeper::Administrator | Keeper::Teredo, Direction::Out) => {
            insert(place, &format!("oifname \"{link}\""))
        }
        (Keeper::Administrator | Keeper::Teredo, Direction::Answers) => insert(
            place,
            &format!("iifname \"{link}\" ct state established,related"),
        ),
        (Keeper::Administrator | Keeper::Teredo, Direction::FromClients) => insert(
            place,
            &format!("iifname \"{link}\" ip6 saddr 2001::/32 meta l4proto ipv6-icmp"),
        ),
        (Keeper::Administrator | Keeper::Teredo, Direction::Forward) => ["iifname", "oifname"]
            .map(|side| insert(place, &format!("{side} \"{link}\"")))
            .join("\n"),
    }
}
