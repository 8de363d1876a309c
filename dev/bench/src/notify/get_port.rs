//! The cost of asking for the port.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use teredo_notify::mib::PortNotifications;
use teredo_notify::watcher::Watcher;

/// Nanoseconds for a call each.
#[derive(Debug, Serialize)]
pub(crate) struct GetPort {
    /// `GetTeredoPort` while a registration is held.
    pub(crate) held_ns: f64,
    /// The cheapest system call, `getppid`. A function that takes a fraction of it makes no system call.
    pub(crate) system_call_ns: f64,
    /// `GetTeredoPort` without a registration, which connects and asks.
    pub(crate) not_held_ns: f64,
}

pub(crate) fn measure(socket: &Path, quick: bool) -> Result<GetPort> {
    let functions = PortNotifications::new(Watcher::new(socket));
    functions
        .get_teredo_port()
        .context("the service names no port")?;
    let ask = || {
        let _ = black_box(functions.get_teredo_port());
    };
    let not_held_ns = each(if quick { 100 } else { 500 }, ask);
    let handle = functions.notify_teredo_port_change(|_, _| {}, false)?;
    functions
        .get_teredo_port()
        .context("the mirror has no port")?;
    let calls = if quick { 100_000 } else { 1_000_000 };
    let held_ns = each(calls, ask);
    let system_call_ns = each(calls, || {
        black_box(rustix::process::getppid());
    });
    functions.cancel_mib_change_notify2(handle)?;
    Ok(GetPort {
        held_ns,
        system_call_ns,
        not_held_ns,
    })
}

/// The best of five times `calls` calls, since all that disturbs makes it longer.
fn each(calls: u32, call: impl Fn()) -> f64 {
    let time = || {
        let started = Instant::now();
        for _ in 0..calls {
            call();
        }
        started.elapsed()
    };
    let best = (0..5).map(|_| time()).min().unwrap_or(Duration::ZERO);
    best.as_nanos() as f64 / f64::from(calls)
}
