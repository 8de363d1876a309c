//! The outcome of a probe: the object of schema `teredo.probe/1`, and whether a client would qualify.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::Serialize;
use teredo::ServerAddress;
use teredo::policy::DestinationPolicy;
use teredo::wire::PORT;

use super::core::{Core, Malformed, Own, Refusal, Refused, State, Test};
use super::finding::{self, Finding, Grade};
use super::lifetime::Lifetime;
use super::nat::{self, Nat};

/// The outcome of a probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: &'static str,
    /// The server as it was named.
    pub(crate) server: String,
    /// Whether anything answered.
    pub(crate) answers: bool,
    /// Whether a client would qualify here with this server.
    pub(crate) qualifies: bool,
    /// The same as a sentence.
    pub(crate) verdict: String,
    pub(crate) primary: Option<Endpoint>,
    pub(crate) secondary: Option<Endpoint>,
    pub(crate) nat: Nat,
    /// Where the server sees this host.
    pub(crate) mapped: Option<SocketAddrV4>,
    /// From where this host asked.
    pub(crate) local: Option<SocketAddrV4>,
    /// The lifetime of a mapping; null unless it was asked for and found.
    pub(crate) lifetime_s: Option<Lifetime>,
    /// Why there is none, although it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime_unknown: Option<&'static str>,
    pub(crate) findings: Vec<Finding>,
    /// Of the questions that were answered in the end, the datagrams, and those that stayed without an answer.
    #[serde(skip)]
    pub(crate) lost: [u32; 2],
}

/// One of the two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) address: Ipv4Addr,
    /// The shortest round trip in microseconds; null if it did not answer.
    pub(crate) rtt_us: Option<u64>,
    /// Where it sees this host.
    pub(crate) mapped: Option<SocketAddrV4>,
}

impl Report {
    /// Nothing was asked, because of this.
    pub(crate) fn without_server(server: &str, finding: Finding) -> Self {
        Self {
            schema: "teredo.probe/1",
            server: server.to_owned(),
            answers: false,
            qualifies: false,
            verdict: format!("Nothing was asked: {}.", finding.text),
            primary: None,
            secondary: None,
            nat: Nat::default(),
            mapped: None,
            local: None,
            lifetime_s: None,
            lifetime_unknown: None,
            lost: [0; 2],
            findings: vec![finding],
        }
    }

    /// The same with the addresses that were not asked.
    pub(super) fn with_addresses(mut self, address: ServerAddress) -> Self {
        let silent = |address| Endpoint {
            address,
            rtt_us: None,
            mapped: None,
        };
        self.primary = Some(silent(address.primary));
        self.secondary = Some(silent(address.secondary));
        self
    }

    /// The outcome of a probe that is over.
    pub(super) fn new(server: &str, mut core: Core) -> Self {
        let mut findings = core.take_findings();
        let (nat, remarks) = nat::classify(&core);
        findings.extend(remarks);
        let [primary, secondary] = endpoints(&core);
        let answers = core.heard;
        if answers {
            findings.extend(half(&core, &findings));
            findings.extend(cone_and_bubbles(&core));
            findings.extend(private(&core));
        } else {
            findings.push(silence(&core));
        }
        findings.extend(noise(&core));
        // The worst first; in each grade in the order of discovery.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
        let qualifies = qualifies(&core);
        let worst = findings.iter().find(|finding| finding.grade == Grade::Fail);
        let verdict = match worst {
            _ if qualifies => String::from("A client would qualify here with this server."),
            Some(finding) => {
                format!(
                    "A client would not qualify here with this server: {}.",
                    finding.text
                )
            }
            None if core.heard => String::from(
                "A client would not qualify here with this server: not every answer came in time.",
            ),
            None => String::from("A client would not qualify here with this server."),
        };
        Self {
            schema: "teredo.probe/1",
            server: server.to_owned(),
            answers,
            qualifies,
            verdict,
            mapped: primary.mapped.or(secondary.mapped),
            local: Some(core.local(Own::Main)),
            primary: Some(primary),
            secondary: Some(secondary),
            nat,
            lifetime_s: None,
            lifetime_unknown: None,
            lost: core.lost(),
            findings,
        }
    }
}

fn endpoints(core: &Core) -> [Endpoint; 2] {
    let micros = |index: usize| {
        let rtt = core.rtt[index]?;
        Some(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))
    };
    let ServerAddress { primary, secondary } = core.server;
    [
        Endpoint {
            address: primary,
            rtt_us: micros(0),
            mapped: core.mapping(Test::AskPrimary),
        },
        Endpoint {
            address: secondary,
            rtt_us: micros(1),
            mapped: core.mapping(Test::AskSecondary),
        },
    ]
}

/// The conditions of the client (RFC 4380 §5.2.1). Two mappings are no obstacle (RFC 6081 §5.2).
fn qualifies(core: &Core) -> bool {
    let policy = DestinationPolicy::default();
    let ServerAddress { primary, secondary } = core.given;
    core.server == core.given
        && policy.permits_address(primary)
        && policy.permits_address(secondary)
        && core
            .mappings()
            .is_some_and(|[first, _]| policy.permits(first))
}

/// The fault if only one address answers as it should.
fn half(core: &Core, findings: &[Finding]) -> Option<Finding> {
    let [primary, secondary] =
        [Test::AskPrimary, Test::AskSecondary].map(|test| core.is_answered(test));
    let ServerAddress {
        primary: asked,
        secondary: other,
    } = core.given;
    if asked == other {
        return Some(
            finding::SECONDARY_SAME.found(format!("both addresses of the server are {asked}")),
        );
    }
    // The finding about the answer has said it.
    let explained = findings
        .iter()
        .any(|finding| finding.grade == Grade::Fail && !finding.id.starts_with("nat."));
    let because = |address| match because(core, address) {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    match (primary, secondary) {
        (true, false) if !explained => Some(finding::SECONDARY_SILENT.found(format!(
            "the secondary address {other} does not answer{}",
            because(other)
        ))),
        (true, true) if core.server != core.given => Some(
            finding::SECONDARY_SILENT
                .found(format!("the secondary address {other} does not answer")),
        ),
        (false, true) if !explained => Some(finding::PRIMARY_SILENT.found(format!(
            "the primary address {asked} does not answer{}",
            because(asked)
        ))),
        _ => None,
    }
}

fn cone_and_bubbles(core: &Core) -> Vec<Finding> {
    let mut findings = Vec::new();
    let failed = |test| core.state(test) == State::Failed;
    if core.cone_ignored {
        findings.push(finding::CONE_IGNORED.found(
            "a solicitation with the cone bit was answered from the address that it was sent to",
        ));
    } else if failed(Test::ConePrimary) && failed(Test::ConeSecondary) {
        findings
            .push(finding::CONE_SILENT.found("solicitations with the cone bit were not answered"));
    }
    if failed(Test::BubbleSelf) {
        findings.push(finding::BUBBLE_LOST.found(format!(
            "{} bubbles to our own mapping did not come back",
            core.attempts(Test::BubbleSelf)
        )));
    }
    findings
}

/// Addresses that clients and servers refuse.
fn private(core: &Core) -> Option<Finding> {
    let policy = DestinationPolicy::default();
    let ServerAddress { primary, secondary } = core.given;
    let server = [primary, secondary]
        .into_iter()
        .find(|address| !policy.permits_address(*address));
    if let Some(address) = server {
        return Some(finding::ADDRESS_PRIVATE.found(format!(
            "{address} is no address of the Internet, and clients refuse such a server"
        )));
    }
    let mapped = core.mapping(Test::AskPrimary)?;
    (!policy.permits(mapped)).then(|| {
        finding::ADDRESS_PRIVATE.found(format!(
            "the server sees this host at {mapped}, which is not on the Internet"
        ))
    })
}

/// Why there was no answer from an address, if the network or the kernel said so.
fn because(core: &Core, address: Ipv4Addr) -> Option<String> {
    let to = SocketAddrV4::new(address, PORT);
    let (_, refused) = core.refusals.iter().find(|(refused, _)| *refused == to)?;
    Some(in_words(refused, address))
}

fn in_words(refused: &Refused, address: Ipv4Addr) -> String {
    let by = refused
        .by
        .map_or_else(|| String::from("this host"), |by| by.to_string());
    match &refused.refusal {
        Refusal::NoPort if refused.by == Some(address) => {
            format!("no process has UDP port 3544, says {by}")
        }
        Refusal::NoPort => format!("{by}, which is not the server, refuses it"),
        Refusal::Unreachable => format!("{by} has no way to {address}"),
        Refusal::Prohibited => format!("{by} refuses it"),
        Refusal::Blocked => {
            String::from("a firewall rule of this host forbids to send (Operation not permitted)")
        }
        Refusal::NoRoute => format!("this host has no route to {address}"),
        Refusal::Other(error) => error.clone(),
    }
}

/// The datagrams of the server's addresses that are no answers.
fn noise(core: &Core) -> Vec<Finding> {
    let mut findings: Vec<_> = (core.malformed.iter())
        .map(|Malformed { from, count, first }| {
            let (length, error) = first;
            finding::ANSWER_MALFORMED.found(match count {
                1 => format!("{from} sent {length} bytes that are no Teredo packet: {error}"),
                _ => format!(
                    "{from} sent {count} datagrams that are no Teredo packets, the first of {length} bytes: {error}"
                ),
            })
        })
        .collect();
    if core.forged > 0 {
        findings.push(finding::ANSWER_FORGED.found(match core.forged {
            1 => String::from("a datagram of the server's address had a nonce that was never sent"),
            many => {
                format!("{many} datagrams of the server's address had a nonce that was never sent")
            }
        }));
    }
    findings
}

/// Why nothing answered at all.
fn silence(core: &Core) -> Finding {
    let ServerAddress { primary, .. } = core.given;
    let local = *core.local(Own::Main).ip();
    if core.is_answered(Test::BubbleBlind) {
        return finding::SERVER_SECRET.found(format!(
            "{primary} forwards bubbles and does not answer without a secret"
        ));
    }
    let about = |address| {
        let to = SocketAddrV4::new(address, PORT);
        core.refusals
            .iter()
            .find(move |(refused, _)| *refused == to)
    };
    let Some((to, refused)) = about(primary).or_else(|| about(core.given.secondary)) else {
        return if local == primary {
            finding::SERVER_OWN.found(format!(
                "{primary} is an address of this host, and a server does not answer its own host"
            ))
        } else if core.forged > 0 || !core.malformed.is_empty() {
            finding::SERVER_NOT_TEREDO.found(format!(
                "what comes from {primary} is no answer of a Teredo server"
            ))
        } else if core.host_is_there {
            finding::SERVER_MUTE.found(format!(
                "the host {primary} refuses other ports, and its port 3544 is silent: the server requires a secret, or a \
                 firewall drops the port"
            ))
        } else {
            finding::SERVER_SILENT.found(format!(
                "nothing came back from {primary} and {} over UDP port 3544",
                core.given.secondary
            ))
        };
    };
    let text = format!("{}: {}", to.ip(), in_words(refused, *to.ip()));
    let local_error = refused.by == Some(local);
    match &refused.refusal {
        Refusal::Blocked => finding::SERVER_BLOCKED_HERE.found(text),
        // This host itself also says that nobody answered on the link.
        Refusal::Unreachable if local_error => finding::SERVER_UNREACHABLE.found(text),
        _ if local_error && local != primary => finding::SERVER_BLOCKED_HERE.found(format!(
            "a firewall rule of this host refuses what goes to {}",
            to.ip()
        )),
        // A firewall that refuses often says that there is no such port.
        Refusal::NoPort if refused.by == Some(*to.ip()) => finding::SERVER_NO_PROCESS.found(text),
        Refusal::NoPort => finding::SERVER_PROHIBITED.found(text),
        Refusal::Prohibited => finding::SERVER_PROHIBITED.found(text),
        Refusal::Unreachable | Refusal::NoRoute | Refusal::Other(_) => {
            finding::SERVER_UNREACHABLE.found(text)
        }
    }
}
