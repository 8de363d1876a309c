//! The status of a node as a block of text.

use std::fmt;
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use teredo_notify::types::{Counters, FirewallStatus, GatewayStatus, Phase, Role, Status};

use super::carrier;
use super::rate::Rates;
use super::reach::Reach;
use crate::text::{bytes, plain, span};

/// How many of the destinations that were limited most are shown.
const MOST_LIMITED: usize = 3;

/// A [`Status`] as text, at a given time.
pub(super) struct Block<'a> {
    status: &'a Status,
    now: SystemTime,
    /// Since the look before, if there was one.
    rates: Option<Rates>,
}

impl<'a> Block<'a> {
    pub(super) const fn new(status: &'a Status, now: SystemTime, rates: Option<Rates>) -> Self {
        Self { status, now, rates }
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        let colour = match status.state {
            Phase::Qualified => AnsiColor::Green,
            Phase::Probe | Phase::Dormant => AnsiColor::Yellow,
            Phase::Offline | Phase::Unknown => AnsiColor::Red,
        };
        let dot = Style::new().fg_color(Some(colour.into()));
        let bold = Style::new().bold();
        let name = plain(status.interface.as_deref().unwrap_or("teredo"));
        write!(
            f,
            "{dot}●{dot:#} {bold}{name}{bold:#}  {}{dot}{}{dot:#}",
            match status.role {
                Role::Relay => "relay ",
                Role::Server => "server ",
                Role::Client | Role::Unknown => "",
            },
            match (status.role, status.state) {
                (Role::Relay, Phase::Qualified) => "relaying",
                (Role::Server, Phase::Qualified) => "serving",
                (_, state) => state.name(),
            }
        )?;
        let since = status
            .since
            .as_deref()
            .and_then(|since| humantime::parse_rfc3339_weak(since).ok());
        if let Some(lasted) = since.and_then(|since| self.now.duration_since(since).ok()) {
            write!(f, " for {}", span(lasted))?;
        }
        match (&status.server, status.server_address) {
            (Some(name), Some(address)) if *name != address.to_string() => {
                write!(f, "    server {} ({address})", plain(name))
            }
            (Some(name), _) => write!(f, "    server {}", plain(name)),
            (None, Some(address)) if status.role == Role::Client => {
                write!(f, "    server {address}")
            }
            (None, _) => Ok(()),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let status = self.status;
        let mut rows = Vec::new();
        for problem in &status.problems {
            rows.push(("Problem", plain(problem)));
        }
        if let Some(reason) = &status.reason {
            rows.push(("Reason", plain(reason)));
        }
        if status.role == Role::Server {
            rows.extend(self.server());
            return rows;
        }
        if let Some(address) = status.address {
            rows.push(("Address", address.to_string()));
        }
        rows.push(("Local port", self.port()));
        if status.random_ports > 0 {
            rows.push(("Random ports", format!("{} open", status.random_ports)));
        }
        if let Some(nat) = &status.nat {
            rows.push(("NAT", nat_in_words(nat, status)));
        }
        rows.extend(Reach::of(status).iter().flat_map(Reach::lines));
        if let Some(gateway) = status.gateway.as_ref().and_then(router_in_words) {
            rows.push(("Router", gateway));
        }
        if let Some(refresh) = status.refresh_ms {
            rows.push((
                "Refresh",
                format!("every {}", span(Duration::from_millis(refresh))),
            ));
        }
        let peers = status.peers;
        let traffic = self.traffic(&status.counters);
        rows.push((
            "Peers",
            format!("{} ({} trusted)    {traffic}", peers.total, peers.trusted),
        ));
        if status.lanes.len() > 1 {
            let peers = status.lanes.iter().filter_map(|lane| lane.peers);
            let peers: Vec<_> = peers.map(|peers| peers.to_string()).collect();
            let text = format!("{} with {} peers", peers.len(), peers.join(", "));
            rows.push(("Lanes", text));
        }
        rows.extend(self.data_path());
        rows.push(("Drops", self.drops()));
        if status.firewall.is_empty() {
            rows.push(("Firewall", String::from("no agent connected")));
        }
        for (index, gate) in status.firewall.iter().enumerate() {
            rows.push((
                if index == 0 { "Firewall" } else { "" },
                firewall(gate, status),
            ));
        }
        rows
    }

    /// A server keeps no peers and announces no port.
    fn server(&self) -> Vec<(&'static str, String)> {
        let status = self.status;
        let count = |name: &str| status.data_path.counters.get(name).copied().unwrap_or(0);
        let mut rows: Vec<_> = status
            .pairs
            .iter()
            .enumerate()
            .map(|(index, pair)| {
                let label = if index == 0 { "Addresses" } else { "" };
                let port = teredo::wire::PORT;
                (
                    label,
                    format!("{} and {}, UDP port {port}", pair.primary, pair.secondary),
                )
            })
            .collect();
        rows.push((
            "Answered",
            format!(
                "{} solicitations, {} echo requests",
                count("advertisements"),
                count("echo_replies")
            ),
        ));
        rows.push((
            "Forwarded",
            format!(
                "{} packets to clients, {} to the IPv6 Internet",
                count("forwarded"),
                count("to_native")
            ),
        ));
        rows.push(("Traffic", self.traffic(&status.counters)));
        if status.lanes.len() > 1 {
            let shares = status.lanes.iter();
            let shares: Vec<_> = shares
                .map(|lane| lane.counters.rx_packets.to_string())
                .collect();
            let text = format!("{} received {} datagrams", shares.len(), shares.join(", "));
            rows.push(("Workers", text));
        }
        rows.extend(self.data_path());
        if !status.limited.is_empty() {
            let most = status.limited.iter().take(MOST_LIMITED);
            let most: Vec<_> = most
                .map(|one| format!("{} {}", plain(&one.destination), one.refused))
                .collect();
            rows.push(("Limited", most.join(", ")));
        }
        rows.push(("Drops", self.drops()));
        rows
    }

    /// The sum, and the present rate if it is known.
    fn traffic(&self, counters: &Counters) -> String {
        let [received, sent] = [counters.rx_bytes, counters.tx_bytes].map(bytes);
        match self.rates {
            Some(rates) => format!("Rx {received} ({})  Tx {sent} ({})", rates.rx(), rates.tx()),
            None => format!("Rx {received}  Tx {sent}"),
        }
    }

    fn data_path(&self) -> Option<(&'static str, String)> {
        let text = carrier::in_words(&self.status.data_path, self.now)?;
        Some(("Data path", text))
    }

    fn port(&self) -> String {
        let status = self.status;
        if status.port == 0 {
            return String::from("none");
        }
        let mut text = format!("{}/udp", status.port);
        if let Some(local) = status.local.filter(|local| !local.ip().is_unspecified()) {
            text.push_str(&format!(" on {}", local.ip()));
        }
        if let Some(mapped) = status.mapped {
            text.push_str(&format!("    Mapped: {mapped}"));
        }
        text
    }

    fn drops(&self) -> String {
        let mut drops: Vec<_> = self
            .status
            .drops
            .iter()
            .filter(|&(_, &count)| count > 0)
            .collect();
        if drops.is_empty() {
            return String::from("none");
        }
        drops.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let total = drops
            .iter()
            .fold(0_u64, |sum, &(_, &count)| sum.saturating_add(count));
        let named: Vec<_> = drops
            .iter()
            .map(|(name, count)| format!("{} {count}", plain(name)))
            .collect();
        format!("{total} ({})", named.join(", "))
    }
}

fn firewall(gate: &FirewallStatus, status: &Status) -> String {
    let sequence = status.sequence;
    let name = plain(gate.command.as_deref().unwrap_or("subscriber"));
    let pid = gate
        .pid
        .map(|pid| format!(" (pid {pid})"))
        .unwrap_or_default();
    let sync = match (gate.in_sync, gate.settle_us) {
        (false, _) if gate.trouble.is_some() => String::from("not in sync: see the problem above"),
        (true, Some(micros)) => format!(
            "in sync, {} after the last change",
            span(Duration::from_micros(micros))
        ),
        (true, None) => String::from("in sync"),
        (false, _) => match gate.sequence {
            Some(confirmed) => format!("behind: confirmed {confirmed} of {sequence}"),
            None => String::from("behind: confirmed nothing yet"),
        },
    };
    let missed = match gate.missed {
        0 => String::new(),
        1 => String::from(", 1 deadline missed"),
        many => format!(", {many} deadlines missed"),
    };
    let backend = gate
        .backend
        .as_deref()
        .map_or_else(String::new, |backend| format!(", by {}", plain(backend)));
    // A client alone has some, and another trouble says more.
    let random = match &gate.random_trouble {
        Some(reason)
            if status.role == Role::Client && gate.trouble.is_none() && !gate.is_of_fleet() =>
        {
            format!(", no random ports: {}", plain(reason))
        }
        _ => String::new(),
    };
    format!("{name}{pid} {sync}{missed}{backend}{random}")
}

/// The kind of NAT, and its effect on this host.
fn nat_in_words(nat: &str, status: &Status) -> String {
    let ports = status
        .nat_behaviour
        .as_ref()
        .map(|nat| nat.port_assignment.as_str());
    match (nat, ports) {
        ("none", _) => String::from("none: the address is this host's own"),
        ("restricted", Some("preserving")) => String::from("restricted, keeps ports"),
        ("restricted", Some(_)) => String::from("restricted, gives other ports"),
        ("symmetric", Some("preserving")) => {
            String::from("symmetric: each destination sees another port; keeps the first one")
        }
        ("symmetric", _) => String::from("symmetric: each destination sees another port"),
        (other, _) => plain(other),
    }
}

/// The mapping that the router gave, or why there is none.
pub(crate) fn router_in_words(gateway: &GatewayStatus) -> Option<String> {
    let reason = || plain(gateway.reason.as_deref().unwrap_or("no answer"));
    let protocol = match gateway.protocol.as_deref() {
        Some("pcp") => "PCP",
        Some("nat-pmp") => "NAT-PMP",
        _ => "UPnP",
    };
    match (gateway.state.as_str(), gateway.external) {
        ("mapped", Some(external)) => {
            let nested = match gateway.nested {
                Some(true) => ", behind another NAT",
                _ => "",
            };
            Some(format!("mapped to {external} by {protocol}{nested}"))
        }
        ("asking", _) => Some(String::from("asking for the port")),
        ("refused", _) => Some(format!("not mapped: {}", reason())),
        _ => None,
    }
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        for (label, text) in self.rows() {
            let colon = if label.is_empty() { ' ' } else { ':' };
            write!(f, "\n{label:>12}{colon} {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
