//! Where the processor time of a daemon goes, by `perf`'s samples.
//!
//! Between namespaces a packet goes all its way, through bridge, NAT and routers up to the next socket, within the system
//! call that sent it. The kernel counts that as the sender's time, although elsewhere other machines would spend it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::perf::watch;
use super::session::Session;

/// What is on the stack where the kernel works for the network and not for the caller.
const PATH: [&str; 4] = [
    "handle_softirqs",
    "__do_softirq",
    "net_rx_action",
    "__napi_poll",
];

/// The lowest address of the kernel's half.
const KERNEL: u64 = 1 << 63;

/// Parts of a daemon's processor time, which are 1 together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Shares {
    /// In its own code.
    pub(crate) user: f64,
    /// In its system calls, as far as these do its work.
    pub(crate) kernel: f64,
    /// In the network between the hosts.
    pub(crate) path: f64,
}

/// The shares of a contestant's processes while `during` ran, which are also kept and noted; `None` where they could
/// not be had.
pub(crate) fn sample<T>(
    session: &mut Session,
    measure: &str,
    contestant: &str,
    processes: &[u32],
    during: impl FnOnce() -> Result<T>,
) -> Result<Option<Shares>> {
    match shares(processes, &session.path("samples"), during) {
        Ok(shares) => {
            session.keep(measure, contestant, 0, &shares)?;
            let Shares { user, kernel, path } = shares;
            session.note(format!(
                "{measure}: of {contestant}'s time {:.0} % is in its own code, {:.0} % in the kernel for it, {:.0} % in \
                 the network between the hosts",
                user * 100.0,
                kernel * 100.0,
                path * 100.0
            ));
            Ok(Some(shares))
        }
        Err(error) => {
            session.missing(measure, format!("{error:#}"));
            Ok(None)
        }
    }
}

fn shares<T>(processes: &[u32], file: &Path, during: impl FnOnce() -> Result<T>) -> Result<Shares> {
    let arguments = ["record", "-q", "-e", "cpu-clock", "-F", "1999", "-g"];
    watch(&arguments, processes, file, during)?;
    let output = Command::new("perf")
        .args(["script", "-F", "ip,sym", "-i"])
        .arg(file)
        .output()
        .context("package linux-perf")?;
    ensure!(output.status.success(), "perf cannot read its samples");
    divide(&String::from_utf8_lossy(&output.stdout)).context("perf has taken no samples")
}

/// Samples are stacks, innermost first, with an empty line behind each.
fn divide(script: &str) -> Option<Shares> {
    let mut counts = [0_u32; 3];
    let stacks = script
        .split("\n\n")
        .filter(|stack| !stack.trim().is_empty());
    for stack in stacks {
        let mut frames = stack.lines().filter_map(|line| {
            let (address, symbol) = line.trim().split_once(' ')?;
            Some((u64::from_str_radix(address, 16).ok()?, symbol))
        });
        let Some(innermost) = frames.next() else {
            continue;
        };
        let place = if innermost.0 < KERNEL {
            0
        } else if [innermost]
            .into_iter()
            .chain(frames)
            .any(|(_, symbol)| PATH.contains(&symbol))
        {
            2
        } else {
            1
        };
        counts[place] += 1;
    }
    let all = counts.iter().sum::<u32>();
    let [user, kernel, path] = counts.map(|count| f64::from(count) / f64::from(all));
    (all > 0).then_some(Shares { user, kernel, path })
}

#[cfg(test)]
mod tests;
