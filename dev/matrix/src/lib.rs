//! Which NATs meet: two clients behind every pair of NATs, on a simulated internet, beside what RFC 6081 promises and
//! what any protocol could do.
//!
//! `cargo xtask sim matrix` writes `docs/nat-matrix.json`, `docs/nat-matrix.md` and `docs/nat-matrix.svg`. The same
//! seeds give the same numbers on every machine, so the tests compare a part of them exactly.
//!
//! | module | contents |
//! |---|---|
//! | `kind` | [`KINDS`]: the NATs, by the names of the lab |
//! | `figure` | [`promise`]: figure 1 of RFC 6081 |
//! | `meeting` | [`meet`]: two clients, one seed |
//! | `matrix` | [`Matrix`], [`Cell`]: all pairs, and their JSON |
//! | `parallel` | [`side_by_side`]: independent runs on all cores |
//! | `apart` | the pairs that leave a path, and whose clients do not find it |
//! | [`document`] | the files of an experiment |
//! | `page` | [`page()`]: the document |
//! | `picture` | [`picture()`]: the heat map |

#![forbid(unsafe_code)]

mod apart;
pub mod document;
mod figure;
mod kind;
mod matrix;
mod meeting;
mod page;
mod parallel;
mod picture;

pub use figure::{Promise, promise};
pub use kind::{KINDS, Kind};
pub use matrix::{Cell, LOSSES, MODES, Matrix, SEEDS, SHORT};
pub use meeting::{Meeting, meet};
pub use page::page;
pub use parallel::side_by_side;
pub use picture::picture;

#[cfg(test)]
mod tests;
