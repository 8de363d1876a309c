//! Judges the NAT by the tests, and says what they do not show.
//!
//! A verdict needs proof. Silence proves something only if the control was heard, and a knock counts only if an ICMP
//! error shows that it went through. Everything else stays open, with the reason.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::Serialize;

use super::core::{Core, Own, State, Test};
use super::finding::{self, Finding};

/// Which mapping a socket has (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mapping {
    EndpointIndependent,
    /// At least the address counts. Teredo servers have one port, so the port's part is not seen.
    AddressAndPortDependent,
}

/// Who may send to a mapping (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Filtering {
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
}

/// The older names of RFC 3489, as RFC 4380 uses them and as `teredo lab --nat` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    None,
    Cone,
    Restricted,
    PortRestricted,
    OpenInput,
    Symmetric,
}

/// The NAT, as far as it is known. The rest is `None`, and `unknown` says why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Nat {
    pub(crate) mapping: Option<Mapping>,
    /// By the NAT, or by a firewall on the way: this host's own included.
    pub(crate) filtering: Option<Filtering>,
    pub(crate) port_preserving: Option<bool>,
    pub(crate) hairpin: Option<bool>,
    pub(crate) kind: Option<Kind>,
    /// Whether datagrams are stopped that come from an address to which nothing was sent.
    pub(crate) stops_strangers: Option<bool>,
    /// The field that is null, and the reason.
    pub(crate) unknown: BTreeMap<&'static str, &'static str>,
}

/// Judges the NAT by the tests.
pub(super) fn classify(core: &Core) -> (Nat, Vec<Finding>) {
    let mut nat = Nat::default();
    let mut findings = Vec::new();
    let mut why = BTreeMap::new();
    nat.mapping = settle(&mut why, "mapping", mapping(core));
    let stops = stops_strangers(core);
    nat.stops_strangers = stops;
    nat.filtering = settle(&mut why, "filtering", filtering(core, nat.mapping, stops));
    nat.port_preserving = settle(&mut why, "port_preserving", port_preserving(core));
    nat.hairpin = settle(&mut why, "hairpin", hairpin(core, &nat));
    nat.kind = kind(core, &nat);
    nat.unknown = why;
    remarks(core, &nat, &mut findings);
    (nat, findings)
}

fn settle<T>(
    unknown: &mut BTreeMap<&'static str, &'static str>,
    field: &'static str,
    verdict: Result<T, &'static str>,
) -> Option<T> {
    verdict.map_err(|reason| unknown.insert(field, reason)).ok()
}

fn mapping(core: &Core) -> Result<Mapping, &'static str> {
    let Some([first, second]) = core.mappings() else {
        return Err("it takes answers from both addresses of the server");
    };
    if first == second {
        return Ok(Mapping::EndpointIndependent);
    }
    // A NAT that keeps ports gives way if another host has the port already. One socket may have had bad luck.
    match (
        core.mapping(Test::SparePlain),
        core.mapping(Test::SpareSecondary),
    ) {
        (Some(first), Some(second)) if first != second => Ok(Mapping::AddressAndPortDependent),
        (Some(_), Some(_)) => Err("two sockets disagree: one has one mapping, the other has two"),
        _ => Err("the mapping differed once, and a second socket could not confirm it"),
    }
}

/// Whether a port that only the secondary address was asked from hears the primary one.
fn stops_strangers(core: &Core) -> Option<bool> {
    verdict(core, [Test::StrangerCone, Test::StrangerBubble]).map(|heard| !heard)
}

/// Whether one of the two ways was heard; `None` if silence proves nothing, because the control was not heard either.
fn verdict(core: &Core, [cone, bubble]: [Test; 2]) -> Option<bool> {
    if core.is_answered(cone) || core.is_answered(bubble) {
        return Some(true);
    }
    let silent = |test, control| core.state(test) == State::Failed && core.is_answered(control);
    let cone = silent(cone, Test::ConeSecondary);
    let bubble = silent(bubble, Test::BubbleSelf);
    (cone || bubble).then_some(false)
}

fn filtering(
    core: &Core,
    mapping: Option<Mapping>,
    stops: Option<bool>,
) -> Result<Filtering, &'static str> {
    match stops {
        None => {
            return Err(
                "the server sent nothing that could have been stopped: it takes a second address that answers, and \
                 a server that honours the cone bit or forwards bubbles",
            );
        }
        Some(false) => return Ok(Filtering::EndpointIndependent),
        Some(true) => {}
    }
    if mapping != Some(Mapping::EndpointIndependent) {
        return Err(
            "strangers are stopped; whether the port counts cannot be seen, because each destination has a \
                    mapping of its own",
        );
    }
    match verdict(core, [Test::KnockerCone, Test::KnockerBubble]) {
        Some(true) => Ok(Filtering::AddressDependent),
        Some(false) if core.knocked => Ok(Filtering::AddressAndPortDependent),
        Some(false) => Err(
            "strangers are stopped; whether the port counts cannot be seen, because no error shows that a \
                 datagram to another port of the server arrived",
        ),
        None => Err("strangers are stopped; whether the port counts was not answered in time"),
    }
}

fn port_preserving(core: &Core) -> Result<bool, &'static str> {
    let samples = [
        (Own::Main, Test::AskPrimary),
        (Own::Stranger, Test::StrangerPlain),
        (Own::Knocker, Test::KnockerPlain),
        (Own::Spare, Test::SparePlain),
    ];
    let kept: Vec<bool> = samples
        .into_iter()
        .filter_map(|(own, test)| Some(core.mapping(test)?.port() == core.local(own).port()))
        .collect();
    match kept.iter().filter(|kept| **kept).count() {
        _ if kept.is_empty() => Err("no mapping is known"),
        count if count == kept.len() => Ok(true),
        // A NAT that keeps ports gives way once, if another host has the port.
        0 if kept.len() > 1 => Ok(false),
        _ => Err("some ports were kept, and others were not"),
    }
}

fn hairpin(core: &Core, nat: &Nat) -> Result<bool, &'static str> {
    if core.has_nat() == Some(false) {
        return Err("there is no NAT");
    }
    match core.state(Test::Hairpin) {
        State::Answered => Ok(true),
        State::Failed
            if nat.mapping == Some(Mapping::EndpointIndependent)
                || nat.filtering == Some(Filtering::EndpointIndependent) =>
        {
            Ok(false)
        }
        State::Failed => Err(
            "nothing came back; but towards itself the NAT may use a mapping that its filter does not know",
        ),
        _ => Err("it takes two mappings"),
    }
}

fn kind(core: &Core, nat: &Nat) -> Option<Kind> {
    match nat.mapping? {
        _ if core.has_nat() == Some(false) => Some(Kind::None),
        Mapping::AddressAndPortDependent => Some(Kind::Symmetric),
        Mapping::EndpointIndependent if is_open_input(core) => Some(Kind::OpenInput),
        Mapping::EndpointIndependent => Some(match nat.filtering? {
            Filtering::EndpointIndependent => Kind::Cone,
            Filtering::AddressDependent => Kind::Restricted,
            Filtering::AddressAndPortDependent => Kind::PortRestricted,
        }),
    }
}

/// Whether datagrams that came too early cost the stranger its mapping.
fn is_open_input(core: &Core) -> bool {
    let mappings = [Test::StrangerPlain, Test::StrangerLate].map(|test| core.mapping(test));
    matches!(mappings, [Some(early), Some(late)] if early != late)
}

fn remarks(core: &Core, nat: &Nat, findings: &mut Vec<Finding>) {
    if let Some([first, second]) = core.mappings()
        && first != second
    {
        findings.push(different(first, second));
        if nat.mapping == Some(Mapping::AddressAndPortDependent) {
            findings.push(finding::NAT_DOUBTFUL.found(
                "the mapping depends on the address at least; the port's part is not seen, and the stricter kind assumed",
            ));
        }
    }
    if nat.kind == Some(Kind::OpenInput) {
        findings.push(finding::NAT_OPEN_INPUT.found(
            "a datagram that came too early changed the mapping: the router took it for its own",
        ));
    }
    if nat.kind == Some(Kind::None) && nat.stops_strangers == Some(true) {
        findings.push(finding::FIREWALL.found(
            "there is no NAT, and yet a firewall stops datagrams from hosts that nothing was sent to",
        ));
    }
    let local = *core.local(Own::Main).ip();
    if local.octets()[0] == 100 && local.octets()[1] & 0xc0 == 64 {
        findings.push(finding::NAT_SHARED.found(format!(
            "this host has the address {local}, which a provider's NAT shares among customers"
        )));
    }
}

fn different(first: SocketAddrV4, second: SocketAddrV4) -> Finding {
    if first.ip() == second.ip() {
        finding::NAT_SYMMETRIC.found(format!(
            "the NAT maps to {first} towards the primary address, and to {second} towards the secondary one"
        ))
    } else {
        finding::NAT_SEVERAL_ADDRESSES.found(format!(
            "the primary address sees {first}, and the secondary one {second}: two public addresses"
        ))
    }
}
