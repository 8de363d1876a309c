//! A million Teredo clients for a day of virtual time, and what must hold meanwhile.
//!
//! The internet has ten regions, each a [`World`](teredo_sim::World) of its own with its clients, servers, relays and
//! native hosts. What leaves a region arrives in another 40 ms later, so the regions run side by side for 40 ms at a
//! time and then exchange what has left. The order of the exchange does not depend on threads, and so neither does
//! the run: its hash is the same for any number of them.
//!
//! ```text
//!  thread 1   region 0 ──40 ms──> 2 ──> 4 ──> 6 ──> 8 ──┐            ┌──> 0 ...
//!                                                       ├─ exchange ─┤
//!  thread 2   region 1 ──40 ms──> 3 ──> 5 ──> 7 ──> 9 ──┘            └──> 1 ...
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `plan` | [`Plan`]: how many of each, and their addresses |
//! | `region` | a region: the world, and the passage of time in it |
//! | `life` | what its clients do, and what befalls them: departures, rebindings, dead servers |
//! | `contact` | programs that talk to peers and to native hosts |
//! | `watch` | the invariants, checked at every datagram |
//! | `exchange` | [`run`]: the threads |
//! | `report` | [`Report`]: the JSON, the table and the document |

#![forbid(unsafe_code)]

mod contact;
mod exchange;
mod life;
mod plan;
mod region;
mod report;
mod watch;

pub use exchange::run;
pub use plan::Plan;
pub use report::{Breaches, Contacts, Report, page, table};

#[cfg(test)]
mod tests;
