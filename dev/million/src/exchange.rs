//! The threads: regions run side by side for a while, and then exchange what has left them.

use std::net::Ipv6Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use teredo::Instant;
use teredo_sim::{Datagram, IcmpError};

use crate::contact::Contact;
use crate::plan::{CROSSING, Plan, REGIONS};
use crate::region::Region;
use crate::report::Report;

/// Something on its way to another region, where it is at that time.
#[derive(Debug)]
pub(crate) struct Crossing {
    pub(crate) at: Instant,
    pub(crate) what: Traveller,
}

/// A message from one region to another.
#[derive(Debug)]
pub(crate) enum Traveller {
    Datagram(Datagram),
    Error(IcmpError),
    Native(Vec<u8>),
    /// Client `client` shall contact a client of another region at this address: so hosts learn of each other, as by
    /// names.
    Invitation {
        client: usize,
        peer: Peer,
    },
    /// A contact had no answer. Could its peer have answered?
    Doubt(Contact),
}

/// A client of any region, and its address at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) region: usize,
    pub(crate) client: usize,
    pub(crate) address: Ipv6Addr,
}

/// The messages under way, by their destination, each with the region that sent it.
type Mail = [Mutex<Vec<(usize, Vec<Crossing>)>>; REGIONS];

/// Runs a plan on so many threads. The outcome does not depend on their number. `progress` gets the virtual time, from
/// one of them, often.
pub fn run(plan: &Plan, threads: usize, progress: impl Fn(Duration) + Sync) -> Report {
    let threads = threads.clamp(1, REGIONS);
    // Two sets of mail: one is read while the other is written, so one meeting of the threads per step is enough.
    let mail: [Mail; 2] = [(); 2].map(|()| [(); REGIONS].map(|()| Mutex::default()));
    let barrier = Barrier::new(threads);
    let broken = AtomicBool::new(false);
    let steps = plan.length.as_nanos().div_ceil(CROSSING.as_nanos()) as usize;
    let work = |thread: usize| {
        let mut panic = None;
        // A panic must not leave the other threads waiting for this one.
        let mut guarded = |work: &mut dyn FnMut()| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                panic = Some(payload);
                broken.store(true, Ordering::SeqCst);
            }
            barrier.wait();
            broken.load(Ordering::SeqCst)
        };
        let mut regions: Vec<Region> = Vec::new();
        let mut stops = guarded(&mut || {
            let own = (thread..REGIONS).step_by(threads);
            regions = own.map(|number| Region::new(*plan, number)).collect();
        });
        for step in 0..steps {
            if stops {
                break;
            }
            stops = guarded(&mut || {
                let (inbox, outbox) = (&mail[step % 2], &mail[(step + 1) % 2]);
                let end = Instant::from_nanos(0) + CROSSING * (step as u32 + 1);
                for region in &mut regions {
                    run_step(region, end, inbox, outbox);
                }
                if thread == 0 {
                    progress(end - Instant::default());
                }
            });
        }
        match panic {
            Some(payload) => Err(payload),
            None => Ok(regions.into_iter().map(Region::finish).collect::<Vec<_>>()),
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.map(|result| result.and_then(|own| own)).collect()
    });
    let mut finished = Vec::new();
    for result in results {
        match result {
            Ok(own) => finished.extend(own),
            Err(payload) => resume_unwind(payload),
        }
    }
    finished.sort_by_key(|region| region.number);
    Report::new(plan, threads, &finished)
}

fn run_step(region: &mut Region, end: Instant, inbox: &Mail, outbox: &Mail) {
    let mut arrived = std::mem::take(&mut *lock(&inbox[region.number]));
    // The threads write in any order.
    arrived.sort_by_key(|(from, _)| *from);
    for (_, crossings) in arrived {
        region.admit(crossings);
    }
    region.run_until(end);
    for (to, crossings) in region.take_departures().into_iter().enumerate() {
        if !crossings.is_empty() {
            lock(&outbox[to]).push((region.number, crossings));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
