//! A generator of requests that never has more in flight than a socket's buffer holds, to find the rate of a server
//! without loss.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::batch::{BATCH, Batch};
use super::cpu::Place;

/// Requests under way. A datagram takes 768 bytes of a receive buffer, of which there are 212,992 by default.
pub(crate) const WINDOW: usize = 256;
/// An answer that takes longer is lost.
pub(crate) const LOST: Duration = Duration::from_millis(100);

/// The result of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
}

/// Calls `send` for a batch whenever there is room in the window, and `receive` for the number of answers, for so long;
/// from the core of senders.
pub(crate) fn in_window(
    duration: Duration,
    mut send: impl FnMut(&mut Batch) -> Result<usize>,
    mut receive: impl FnMut(&mut Batch) -> Result<usize>,
) -> Result<Outcome> {
    Place::Sender.take()?;
    let mut batch = Batch::new();
    let (mut answered, mut lost, mut under_way) = (0, 0, 0_usize);
    let start = Instant::now();
    let mut last = start;
    loop {
        let over = start.elapsed() >= duration;
        // Requests in flight still count, so it waits for them.
        if over && under_way == 0 {
            break;
        }
        if !over && under_way + BATCH <= WINDOW {
            under_way += send(&mut batch)?;
        }
        let came = receive(&mut batch)?;
        if came > 0 {
            answered += came as u64;
            under_way = under_way.saturating_sub(came);
            last = Instant::now();
        } else if last.elapsed() >= LOST {
            lost += under_way as u64;
            under_way = 0;
            last = Instant::now();
        }
    }
    ensure!(answered > 0, "nothing was answered");
    Ok(Outcome {
        answered,
        lost,
        seconds: last.duration_since(start).as_secs_f64(),
    })
}
