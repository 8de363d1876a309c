//! The outcome: as JSON (schema `teredo.million/1`), as a table, and as `docs/nat-million.md`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::plan::{Plan, REGIONS};
use crate::region::Finished;

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `teredo.million/1`.
    pub schema: String,
    /// The clients, each behind a NAT of its own.
    pub clients: u64,
    /// The servers.
    pub servers: u64,
    /// The relays, each with a native host.
    pub relays: u64,
    /// The regions that may run at the same time.
    pub regions: u64,
    /// The virtual time, in hours.
    pub hours: f64,
    /// The threads, which change nothing but the time that the run takes.
    pub threads: u64,
    /// The seed.
    pub seed: u64,
    /// The hash of all datagrams with their times and fates, in hexadecimal.
    pub hash: String,
    /// The datagrams that hosts have sent.
    pub datagrams: u64,
    /// Starts of clients.
    pub joined: u64,
    /// Stops of clients.
    pub left: u64,
    /// NATs that have forgotten all mappings.
    pub nats_forgot: u64,
    /// NATs that got another address.
    pub nats_renumbered: u64,
    /// Failures of servers.
    pub servers_failed: u64,
    /// Clients that run at the end.
    pub online: u64,
    /// And that have an address.
    pub qualified: u64,
    /// Programs that talk to clients.
    pub peers: Contacts,
    /// Programs that talk to native hosts.
    pub native: Contacts,
    /// The invariants, and how often each was broken.
    pub breaches: Breaches,
    /// The first breaches in words.
    pub described: Vec<String>,
    /// The time that the run took, in seconds; 0 if it was not measured.
    pub seconds: f64,
    /// How much faster than the time of the clocks it ran once all clients had come; 0 if it was not measured.
    pub steady_real_time: f64,
    /// The most memory that the process had, in bytes; 0 if it was not measured.
    pub memory_bytes: u64,
}

/// Programs that have asked a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// All.
    pub began: u64,
    /// Those that had an answer.
    pub talked: u64,
    /// Those that had none, because a client left, a NAT or a server failed.
    pub disturbed: u64,
    /// Those that had none, and to which figure 1 of RFC 6081, or their servers, promise none.
    pub without_path: u64,
    /// Those that had none for no such reason.
    pub failed: u64,
    /// The longest time until an answer, in milliseconds.
    pub longest_ms: u64,
    /// The sum of these times, in milliseconds.
    pub total_ms: u64,
}

/// The invariants, and how often each was broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaches {
    /// A datagram to an address that nothing may be sent to.
    pub refused_destinations: u64,
    /// An address that two clients have, or that is not its NAT's.
    pub shared_addresses: u64,
    /// A pair that could have talked, and has not.
    pub silent_pairs: u64,
    /// A client without an address, though nothing was in its way for ten minutes.
    pub stranded: u64,
    /// Solicitations beyond the pace of RFC 4380 §5.2.1.
    pub solicitations: u64,
    /// Bubbles beyond the pace and the number of RFC 4380 §5.2.6.
    pub bubbles: u64,
}

impl Breaches {
    /// All together.
    pub fn total(&self) -> u64 {
        let Self {
            refused_destinations,
            shared_addresses,
            silent_pairs,
            stranded,
            solicitations,
            bubbles,
        } = self;
        refused_destinations + shared_addresses + silent_pairs + stranded + solicitations + bubbles
    }
}

impl std::ops::AddAssign for Contacts {
    fn add_assign(&mut self, other: Self) {
        self.began += other.began;
        self.talked += other.talked;
        self.disturbed += other.disturbed;
        self.without_path += other.without_path;
        self.failed += other.failed;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        self.total_ms += other.total_ms;
    }
}

impl std::ops::AddAssign for Breaches {
    fn add_assign(&mut self, other: Self) {
        self.refused_destinations += other.refused_destinations;
        self.shared_addresses += other.shared_addresses;
        self.silent_pairs += other.silent_pairs;
        self.stranded += other.stranded;
        self.solicitations += other.solicitations;
        self.bubbles += other.bubbles;
    }
}

impl Report {
    /// Sums up the regions, in order.
    pub(crate) fn new(plan: &Plan, threads: usize, regions: &[Finished]) -> Self {
        let sum = |value: fn(&Finished) -> u64| regions.iter().map(value).sum();
        let mut hash = 0_u64;
        let (mut peers, mut native) = (Contacts::default(), Contacts::default());
        let mut breaches = Breaches::default();
        let mut described = Vec::new();
        for region in regions {
            hash = hash.rotate_left(7) ^ region.hash;
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            peers += region.peers;
            native += region.native;
            breaches += region.watch.breaches;
            described.extend(region.watch.described.iter().cloned());
        }
        Self {
            schema: String::from("teredo.million/1"),
            clients: plan.clients as u64,
            servers: (plan.servers() * REGIONS) as u64,
            relays: (plan.relays() * REGIONS) as u64,
            regions: REGIONS as u64,
            hours: plan.length.as_secs_f64() / 3_600.0,
            threads: threads as u64,
            seed: plan.seed,
            hash: format!("{hash:016x}"),
            datagrams: sum(|region| region.datagrams),
            joined: sum(|region| region.events.joined),
            left: sum(|region| region.events.left),
            nats_forgot: sum(|region| region.events.forgotten),
            nats_renumbered: sum(|region| region.events.renumbered),
            servers_failed: sum(|region| region.events.failed),
            online: sum(|region| region.online),
            qualified: sum(|region| region.qualified),
            peers,
            native,
            breaches,
            described,
            seconds: 0.0,
            steady_real_time: 0.0,
            memory_bytes: 0,
        }
    }

    /// How much faster than the time of the clocks it ran; 0 if that was not measured.
    pub fn real_time(&self) -> f64 {
        if self.seconds > 0.0 {
            self.hours * 3_600.0 / self.seconds
        } else {
            0.0
        }
    }
}

/// The outcome as a table of Markdown.
pub fn table(report: &Report) -> String {
    let Report {
        peers,
        native,
        breaches,
        ..
    } = report;
    let mean = |contacts: &Contacts| contacts.total_ms as f64 / contacts.talked.max(1) as f64;
    let rows = [
        ("clients, each behind a NAT", report.clients.to_string()),
        (
            "servers, relays",
            format!("{}, {}", report.servers, report.relays),
        ),
        ("virtual time", format!("{:.2} h", report.hours)),
        ("threads", report.threads.to_string()),
        ("hash", format!("`{}`, seed {}", report.hash, report.seed)),
        (
            "time, times real time; once all clients have come",
            format!(
                "{:.0} s, {:.1}; {:.1}",
                report.seconds,
                report.real_time(),
                report.steady_real_time
            ),
        ),
        (
            "memory",
            format!("{:.2} GB", report.memory_bytes as f64 / 1e9),
        ),
        ("datagrams", report.datagrams.to_string()),
        (
            "clients started, stopped",
            format!("{}, {}", report.joined, report.left),
        ),
        (
            "NATs that forgot all, that got another address",
            format!("{}, {}", report.nats_forgot, report.nats_renumbered),
        ),
        ("failures of servers", report.servers_failed.to_string()),
        (
            "clients that run at the end, and have an address",
            format!("{}, {}", report.online, report.qualified),
        ),
        (
            "programs that asked a peer: answered, disturbed, without a path, failed",
            row(peers),
        ),
        ("programs that asked a native host", row(native)),
        (
            "time until the answer, peers and native hosts: mean, longest",
            format!(
                "{:.0} ms, {} ms; {:.0} ms, {} ms",
                mean(peers),
                peers.longest_ms,
                mean(native),
                native.longest_ms
            ),
        ),
        (
            "datagrams to refused addresses",
            breaches.refused_destinations.to_string(),
        ),
        (
            "addresses of two clients",
            breaches.shared_addresses.to_string(),
        ),
        (
            "pairs that could have talked and have not",
            breaches.silent_pairs.to_string(),
        ),
        (
            "clients without an address for no reason",
            breaches.stranded.to_string(),
        ),
        (
            "solicitations, bubbles beyond the limits",
            format!("{}, {}", breaches.solicitations, breaches.bubbles),
        ),
    ];
    let mut table = String::from("| | |\n|---|---|\n");
    for (name, value) in rows {
        let _ = writeln!(table, "| {name} | {value} |");
    }
    table
}

fn row(contacts: &Contacts) -> String {
    let Contacts {
        began,
        talked,
        disturbed,
        without_path,
        failed,
        ..
    } = contacts;
    format!("{began}: {talked}, {disturbed}, {without_path}, {failed}")
}

const HEAD: &str = "\
# A million clients

Written by `cargo xtask sim million`. A million clients, each behind a NAT of its own, live on the simulated internet of
`dev/sim`, with the state machines of the program. They come and go, NATs forget their mappings or get other addresses,
and servers die for up to 15 minutes. Meanwhile programs ask other clients and native hosts. Every datagram is checked
against the invariants in the lower part of the table.
";

/// The document of a run, with a caption that names the machine and the date.
pub fn page(report: &Report, caption: &str) -> String {
    format!("{HEAD}\n{caption}\n\n{}", table(report))
}
