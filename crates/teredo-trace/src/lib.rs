//! Teredo exchanges in capture files: the nodes and their NATs, the requirements that packets break, and the stalls;
//! and the ladder diagram, as text and as SVG.
//!
//! ```text
//!  bytes ──> capture ──> outer ──> contents ──> trace ──> nodes      the nodes and their NATs
//!            frames      UDP       Teredo?        │   ├──> kind       names of the datagrams
//!                                                 │   └──> judge      findings, stalls
//!            a simulator's records ───────────────┘
//!                                              Trace ──> ladder ──> text, SVG;  serde ──> teredo.trace/1
//! ```
//!
//! The crate does no I/O and reads no clock. It does not panic on any input, and [`Limits`] bounds its memory.
//!
//! ```
//! use teredo_trace::{Limits, trace_file};
//!
//! // The header of a file of Ethernet frames, and no frame.
//! let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0];
//! file.extend_from_slice(&1_u32.to_le_bytes());
//!
//! let trace = trace_file(&file, Limits::default())?;
//! assert!(trace.packets.is_empty());
//! # Ok::<(), teredo_trace::CaptureError>(())
//! ```

#![forbid(unsafe_code)]

mod capture;
mod contents;
mod finding;
mod judge;
mod kind;
mod ladder;
mod nodes;
mod observation;
mod outer;
mod questions;
mod recognise;
#[cfg(test)]
mod sample;
mod seen;
mod trace;
mod trailer;

pub use capture::{CaptureError, Damage, Frame, Frames, LinkType};
pub use finding::{Finding, Grade, Rule};
pub use kind::Kind;
pub use ladder::{Arrow, Column, Crossing, Ladder, Row, Tone};

pub use nodes::{KnownNat, Mapping, Nat, NatKind, Node, Role};
pub use observation::{Fate, Observation, Obstacle};
pub use outer::Layer;
pub use trace::{Limits, Packet, RouterMessage, Stall, Trace, Tracer, Unreadable, trace_file};
pub use trailer::TrailerRecord;
