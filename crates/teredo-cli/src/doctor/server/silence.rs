//! A server that does not answer: where its answers get lost.

use std::net::Ipv4Addr;

use teredo::wire::PORT;

use crate::doctor::check::{Check, id};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;
use crate::text::plain;

pub(super) fn second_address(primary: Ipv4Addr, secondary: Ipv4Addr) -> String {
    format!(
        "ask the server's operator for its second address; if it is not {secondary}, name both under [client]: \
         servers = [\"{primary},SECOND\"]"
    )
}

pub(super) const SECRET: &str = "compare the line in the client's 'secret_file' with that in the server's; then \
                      'systemctl reload teredo-client'";

const OTHER: &str = "ask the server's operator, or name another one under 'servers'";

/// The findings about a server that does not answer, in the order in which one of them is the cause.
pub(super) const SILENCES: [&str; 13] = [
    "server.blocked-here",
    "server.own-address",
    "server.not-teredo",
    "server.no-process",
    "server.secret",
    "server.mute",
    "server.prohibited",
    "server.unreachable",
    "server.impossible-address",
    "primary.is-secondary",
    "secondary.silent",
    "primary.silent",
    "server.silent",
];

pub(super) fn unanswered(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Check {
    let id = id::SERVER_ANSWERS;
    let finding = SILENCES.iter().find_map(|id| seen.server.found(id));
    let Some(finding) = finding else {
        return match &seen.server.probe {
            Some(_) => Check::fail(id, format!("not every answer of {primary} came in time"))
                .fix(format!("teredo probe {}", quote(&primary.to_string()))),
            None => Check::skip(id, "the server was not asked"),
        };
    };
    let has_secret = seen.settings.client.secret_file.is_some();
    let text = plain(&finding.text);
    let check = |why: &str| Check::fail(id, text.clone()).why(why);
    match finding.id {
        "server.no-process" => Check::fail(id, format!("no server runs on {primary}: its UDP port {PORT} is closed"))
            .why(format!(
                "the host itself says so (ICMP port unreachable), so the way there is open and the process is missing: \
                 {text}"
            ))
            .fix(format!("on {primary}, as root: systemctl enable --now teredo-server; or {OTHER}")),
        "server.secret" | "server.mute" | "server.silent" if has_secret => {
            Check::fail(id, format!("server {primary} does not answer: {text}"))
                .why("a server that does not know the identifier of 'secret_file' with its secret keeps silent")
                .fix(SECRET)
        }
        "server.secret" => check("the server is private: it answers only those whose secret it has (RFC 4380 §5.2.2)").fix(
            "ask the server's operator for a secret, write it into /etc/teredo/secret, and set \
             secret_file = \"/etc/teredo/secret\" under [client]",
        ),
        "server.mute" => check(
            "the host answers on other ports. The server wants a secret or serves only some, or a firewall at the server or \
             on the way drops UDP port 3544; this host's own rules let it through",
        )
        .fix(format!(
            "on {primary}, as root: let UDP port {PORT} in, and look at its counters with 'kill -USR1'; for a private \
             server: a 'secret_file'; or {OTHER}"
        )),
        "server.own-address" => check(
            "a server does not answer what comes from its own addresses (RFC 4380 §5.3.1), so no client qualifies on the \
             server's host",
        )
        .fix("run the client on another host, or name another server under 'servers'"),
        "server.not-teredo" => check(
            "another program has UDP port 3544 there, or somebody on the way forges datagrams; 'teredo probe' shows what came",
        )
        .fix(format!("on {primary}, as root: ss -lunp 'sport = :{PORT}'; or {OTHER}")),
        "server.prohibited" => check("a router or a firewall on the way says so: neither this host nor the server's process is to blame")
            .fix(format!("let UDP port {PORT} pass there; 'traceroute -n -U -p {PORT} {primary}' shows the way")),
        "server.unreachable" => check("a router says so, or this host itself: there is no way to the address")
            .fix(format!("ip route get {primary}\ntraceroute -n -U -p {PORT} {primary}")),
        "server.blocked-here" => check("the kernel does not let the doctor's own datagram out")
            .fix("sudo teredo doctor"),
        "secondary.silent" => check(
            "a client asks both, to tell a symmetric NAT. The second address is not on the server, is another one, or a \
             firewall drops it",
        )
        .fix(second_address(primary, secondary)),
        "server.silent" => Check::fail(id, format!("nothing comes back from {primary}, and nobody says why"))
            .why(format!(
                "a router or a firewall on the way drops UDP (port {PORT} or all of it), or the host is off, or the \
                 address is wrong; this host's own rules let it through"
            ))
            .fix(format!("traceroute -n -U -p {PORT} {primary}")),
        _ => check("a client does not qualify with it").fix(finding.fix),
    }
}
