//! The report, for people and for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::Measurement;
use super::get_port::GetPort;
use super::memory::Memory;
use super::system::System;
use crate::machine::Machine;
use crate::statistics::Distribution;

/// The name and version of the JSON.
const SCHEMA: &str = "teredo.bench.notify/2";

/// A message broker that was measured once, in turns with the bare socket (docs/benchmarks.md). Its median is kept as
/// a multiple of the bare socket's: to measure it in each run takes a client of its protocol, and those that exist bring TLS
/// or a second runtime. Its p99 is not kept, because the bare socket's varies too much between runs.
#[derive(Debug, Serialize)]
struct Broker {
    name: &'static str,
    /// Times the bare socket's p50, for 1 registration in another process.
    p50: f64,
}

const DBUS: Broker = Broker {
    name: "dbus-daemon 1.14.10",
    p50: 11.11,
};
const NATS: Broker = Broker {
    name: "nats-server 2.9.10",
    p50: 16.47,
};
/// When and where.
const BROKERS_MEASURED: &str = "on 2026-11-28, Linux 6.18.44, 2 cores (AMD EPYC)";

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    quick: bool,
    machine: Machine,
    measurements: Vec<Measurement>,
    memory_bytes: Memory,
    get_teredo_port: GetPort,
    brokers: [Broker; 2],
    brokers_measured: &'static str,
    targets: Vec<Target>,
}

/// A target.
#[derive(Debug, Serialize)]
struct Target {
    name: &'static str,
    measured: f64,
    /// The most that meets the target.
    limit: f64,
    unit: &'static str,
    met: bool,
    /// The bare socket alone; a target below it cannot be met on this machine.
    bare_socket: Option<f64>,
}

impl Target {
    fn new(name: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self {
            name,
            measured,
            limit,
            unit,
            met: measured <= limit,
            bare_socket: None,
        }
    }
}

impl Report {
    pub(crate) fn new(
        quick: bool,
        machine: Machine,
        measurements: Vec<Measurement>,
        memory_bytes: Memory,
        get_teredo_port: GetPort,
    ) -> Self {
        let targets = targets(&measurements, &memory_bytes, &get_teredo_port);
        Self {
            schema: SCHEMA,
            quick,
            machine,
            measurements,
            memory_bytes,
            get_teredo_port,
            brokers: [DBUS, NATS],
            brokers_measured: BROKERS_MEASURED,
            targets,
        }
    }

    /// The tables, then the JSON on one line.
    pub(crate) fn print(&self) -> Result<()> {
        let mut text = self.tables();
        text.push('\n');
        text.push_str(&serde_json::to_string(self)?);
        text.push('\n');
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!(
            "{}{}",
            machine.text(),
            if self.quick { "; --quick" } else { "" },
        ));
        line(format_args!(
            "\nmicroseconds from the announcement to a callback, and to the last one; /p50 and /last p99: the rival's over teredo's"
        ));
        line(format_args!(
            "{:>6} {:>5} {:<12}{:>9}{:>9}{:>9}{:>8} |{:>9}{:>9}{:>9}{:>10} |{:>17}",
            "regs",
            "procs",
            "system",
            "p50",
            "p99",
            "p99.9",
            "/p50",
            "last p50",
            "p99",
            "p99.9",
            "/last p99",
            "calls/core second"
        ));
        for measurement in &self.measurements {
            let own = find(
                &self.measurements,
                System::Teredo,
                measurement.processes,
                measurement.registrations,
            )
            .unwrap_or(measurement);
            let Measurement {
                system,
                processes,
                registrations,
                each,
                last,
                deliveries_per_core_second,
            } = measurement;
            let processes = if *processes == 0 {
                "same".to_owned()
            } else {
                processes.to_string()
            };
            line(format_args!(
                "{registrations:>6} {processes:>5} {:<12}{}{:>7.2}x |{}{:>9.2}x |{deliveries_per_core_second:>17.0}",
                system.name(),
                columns(each),
                ratio(each.p50, own.each.p50),
                columns(last),
                ratio(last.p99, own.last.p99),
            ));
        }
        let Memory {
            service,
            service_registrations,
            library,
            library_registrations,
            library_first,
        } = &self.memory_bytes;
        line(format_args!(
            "\nmemory for a registration: {service} bytes in the service (of {service_registrations}, a connection each); \
             {library} bytes in the library (of {library_registrations}), {} KiB for the first of a process",
            library_first / 1024
        ));
        let GetPort {
            held_ns,
            system_call_ns,
            not_held_ns,
        } = &self.get_teredo_port;
        line(format_args!(
            "GetTeredoPort: {held_ns:.1} ns while a registration is held, {system_call_ns:.1} ns for the cheapest \
             system call, {:.1} us without a registration\n",
            not_held_ns / 1e3
        ));
        let brokers = self.brokers.iter().map(|broker| {
            let Broker { name, p50, .. } = broker;
            format!("{name}: {p50} times the bare socket's p50")
        });
        line(format_args!(
            "not in this run, but {BROKERS_MEASURED}: {}\n",
            brokers.collect::<Vec<_>>().join("; ")
        ));
        for target in &self.targets {
            let floor = target
                .bare_socket
                .map(|floor| format!("; the bare socket alone: {floor:.2}"));
            line(format_args!(
                "{:<7} {}: {:.2} {} (at most {:.2}{})",
                if target.met { "met" } else { "MISSED" },
                target.name,
                target.measured,
                target.unit,
                target.limit,
                floor.unwrap_or_default(),
            ));
        }
        text
    }
}

fn columns(distribution: &Distribution) -> String {
    let micros = |nanos: u64| format!("{:.1}", nanos as f64 / 1e3);
    let p99_9 = distribution.p99_9.map_or_else(|| "-".to_owned(), micros);
    format!(
        "{:>9}{:>9}{:>9}",
        micros(distribution.p50),
        micros(distribution.p99),
        p99_9
    )
}

fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

fn find(
    measurements: &[Measurement],
    system: System,
    processes: usize,
    registrations: usize,
) -> Option<&Measurement> {
    measurements.iter().find(|measurement| {
        (
            measurement.system,
            measurement.processes,
            measurement.registrations,
        ) == (system, processes, registrations)
    })
}

fn targets(measurements: &[Measurement], memory: &Memory, get_port: &GetPort) -> Vec<Target> {
    let mut targets = Vec::new();
    let one = |system| find(measurements, system, 1, 1);
    if let Some((own, socket)) = one(System::Teredo).zip(one(System::Socket)) {
        let over_socket = ratio(own.each.p50, socket.each.p50);
        targets.push(Target::new(
            "1 registration in another process, p50 over the bare socket's",
            over_socket,
            2.0,
            "times",
        ));
        for (broker, name, limit) in [
            (
                &NATS,
                "1 registration in another process, p50 over nats-server's (kept)",
                1.0 / 5.0,
            ),
            (
                &DBUS,
                "1 registration in another process, p50 over dbus-daemon's (kept)",
                1.0 / 10.0,
            ),
        ] {
            targets.push(Target {
                bare_socket: Some(1.0 / broker.p50),
                ..Target::new(name, over_socket / broker.p50, limit, "times")
            });
        }
    }
    targets.push(Target::new(
        "memory for a registration in the service",
        memory.service as f64,
        4096.0,
        "bytes",
    ));
    targets.push(Target::new(
        "memory for a registration in the library",
        memory.library as f64,
        1024.0,
        "bytes",
    ));
    // Half the time of the cheapest system call cannot hold one.
    targets.push(Target::new(
        "GetTeredoPort without a system call: time over the cheapest system call's",
        get_port.held_ns / get_port.system_call_ns,
        0.5,
        "times",
    ));
    targets
}
