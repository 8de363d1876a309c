//! The thread that carries the keeper's tasks out.
//!
//! It has a runtime of its own: what a router sends is parsed beside the owner, not before it.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{oneshot, watch};

use crate::ask::{Asker, Timeouts};
use crate::keeper::{Keeper, State, Task};
use crate::mapping::{MappingStore, Wanted};

/// The thread, which ends when this is dropped, after it has taken the mapping back or [`Timeouts::end`] has passed.
pub struct Gateway {
    orders: watch::Sender<Orders>,
    ended: oneshot::Receiver<()>,
}

/// The owner's latest wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Orders {
    wanted: Option<Wanted>,
    /// Counts the looks that were asked for.
    looks: u64,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gateway")
            .field(&*self.orders.borrow())
            .finish()
    }
}

impl Gateway {
    /// Starts the thread. First it takes back the mapping that `store` has (R6081-5.3.3-01). `report` is called with each
    /// new state, on the thread.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(
        timeouts: Timeouts,
        store: Box<dyn MappingStore>,
        report: impl FnMut(State) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, received) = watch::channel(Orders::default());
        let (end, ended) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("teredo-gateway".to_owned())
            .spawn(move || {
                let over = given_up(received.clone(), timeouts.end);
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        () = run(Asker::new(timeouts, store), received, report) => {}
                        () = over => tracing::warn!("the router's mapping is not taken back yet"),
                    }
                });
                // The owner may have gone.
                let _ = end.send(());
            })?;
        Ok(Self { orders, ended })
    }

    /// Sets the mapping to have; with `None`, the last one is taken back.
    pub fn want(&self, wanted: Option<Wanted>) {
        self.orders.send_if_modified(|orders| {
            let differs = orders.wanted != wanted;
            orders.wanted = wanted;
            differs
        });
    }

    /// Something has happened that may have ended the mapping: it is asked for again.
    pub fn look(&self) {
        self.orders
            .send_modify(|orders| orders.looks = orders.looks.wrapping_add(1));
    }

    /// Takes the mapping back and ends the thread. Ready when that is done, at the latest after [`Timeouts::end`]. Then the
    /// store keeps what is not taken back, and this thread does not take it from the next one.
    pub fn end(self) -> impl Future<Output = ()> + Send + use<> {
        let Self { orders, ended } = self;
        drop(orders);
        async {
            // An error: the thread has ended.
            let _ = ended.await;
        }
    }
}

async fn run(
    mut asker: Asker,
    mut received: watch::Receiver<Orders>,
    mut report: impl FnMut(State) + Send,
) {
    let mut keeper = Keeper::new(asker.left());
    let mut orders = Orders::default();
    let mut reported = State::Idle;
    let mut ending = false;
    loop {
        let state = keeper.state();
        if state != reported {
            reported = state.clone();
            report(state);
        }
        if ending && keeper.is_done() {
            return;
        }
        if let Some(task) = keeper.task(Instant::now()) {
            tokio::select! {
                biased;
                outcome = asker.perform(task) => {
                    keeper.finish(Instant::now(), outcome);
                    if let Some(made) = asker.intent.take() {
                        keeper.unconfirmed(made);
                    }
                }
                // The owner wants something else, and need not wait for this router.
                () = other_orders(&mut received, task, ending) => keeper.abandon(asker.intent.take()),
            }
        } else {
            let due = async {
                match keeper.timeout() {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = received.changed(), if !ending => ending = changed.is_err(),
                () = due => continue,
            }
        }
        // Also after a task: `other_orders` has seen the looks that came meanwhile, so nothing announces them again.
        let new = if received.has_changed().is_err() {
            ending = true;
            Orders {
                wanted: None,
                ..orders
            }
        } else {
            *received.borrow_and_update()
        };
        keeper.want(new.wanted);
        if new.looks != orders.looks {
            keeper.look(Instant::now());
        }
        orders = new;
    }
}

/// Ready when the owner has been gone for this long.
async fn given_up(mut received: watch::Receiver<Orders>, limit: Duration) {
    while received.changed().await.is_ok() {}
    tokio::time::sleep(limit).await;
}

/// Ready when the owner wants another mapping than the one that `task` asks for.
async fn other_orders(received: &mut watch::Receiver<Orders>, task: Task, ending: bool) {
    let Task::Ask(wanted) = task else {
        // A renewal and a removal are done soon.
        return pending().await;
    };
    if ending {
        return pending().await;
    }
    // An error: the owner has gone.
    let _ = received
        .wait_for(|orders| orders.wanted != Some(wanted))
        .await;
}
