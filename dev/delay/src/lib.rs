//! How long it takes until two programs talk: the program's state machines on a simulated internet, beside the bounds
//! that the way of the datagrams sets, and beside models of RFC 4380's timers and of miredo.
//!
//! `cargo xtask sim delay` writes `docs/nat-delay.json`, `docs/nat-delay.md` and `docs/nat-delay.svg`. The same seeds give
//! the same numbers on every machine, so the tests compare a part of them exactly.
//!
//! | module | contents |
//! |---|---|
//! | `event` | [`Event`]: what is timed, and its bound |
//! | `place` | the internet of a run: every two sites are one delay apart |
//! | `timing` | [`time`]: one event, one seed, with the real state machines |
//! | `model` | [`Model`]: RFC 4380's timers, and miredo's |
//! | `recovery` | [`Recovery`], [`Keepalive`]: after a rebinding or a dead server; the bytes of an idle client |
//! | `table` | [`Table`], [`Cell`]: everything, and its JSON |
//! | `page`, `picture` | the document |

#![forbid(unsafe_code)]

mod event;
mod model;
mod page;
mod picture;
mod place;
mod recovery;
mod table;
mod timing;

pub use event::Event;
pub use model::Model;
pub use page::page;
pub use picture::picture;
pub use recovery::{Keepalive, Recovery};
pub use table::{Cell, DELAYS_MS, LOSSES, Quantiles, SEEDS, SHORT, Table};
pub use timing::time;

#[cfg(test)]
mod tests;
