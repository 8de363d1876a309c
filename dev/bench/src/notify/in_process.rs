//! From the announcement to callbacks in the same process.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use teredo_notify::hub::Hub;

use super::Measurement;
use super::recorder;
use super::recorder::Recorder;
use super::system::{self, System};
use crate::machine::processor_time;

const WARM_UP: usize = 20;

/// Announces `rounds` times to `registrations` callbacks, or for as long as `budget` lasts.
pub(crate) fn measure(
    registrations: usize,
    rounds: usize,
    budget: Duration,
) -> Result<Measurement> {
    let hub = Hub::new();
    hub.publish(system::port(0));
    let (told, all_heard) = mpsc::channel();
    let recorder = Arc::new(Recorder::new(registrations, move || {
        // The receiver lives until the registrations have ended.
        let _ = told.send(());
    }));
    let held = (0..registrations)
        .map(|_| {
            let recorder = Arc::clone(&recorder);
            hub.register(false, move |_| recorder.heard())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut announced = Vec::new();
    let mut round = |sequence: usize| -> Result<()> {
        let port = system::port(sequence as u64);
        announced.push(recorder::now());
        hub.publish(port);
        all_heard
            .recv_timeout(Duration::from_secs(15))
            .context("not all callbacks were called")
    };
    for sequence in 1..=WARM_UP {
        round(sequence)?;
    }
    recorder.take();
    let pid = std::process::id();
    let (started, busy) = (Instant::now(), processor_time(pid));
    for sequence in WARM_UP + 1..=WARM_UP + rounds {
        round(sequence)?;
        if started.elapsed() > budget {
            break;
        }
    }
    let busy = processor_time(pid).saturating_sub(busy);
    drop(held);
    let announced = announced.split_off(WARM_UP);
    super::sum_up(
        System::Teredo,
        0,
        registrations,
        &announced,
        &[recorder.take()],
        busy,
    )
}
