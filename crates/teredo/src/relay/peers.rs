//! The relay's list of peers (RFC 4380 §5.4), built for millions of them.
//!
//! ```text
//!                 first packet                   direct answer
//!   unknown ─────────────────────> Underway ─────────────────────> Table (trusted)
//!      ^      (a bubble goes out)     │                              │   ^
//!      │                              │ no answer to 4 bubbles       │   │ any packet: good for 30 s more
//!      ├──────────────────────────────┘ or pushed out by newer ones  └───┘
//!      └───────────────────────────────────────────────────────────── 30 s of silence, or the least used of a
//!                                                                      full table
//! ```
//!
//! The two are apart because they have opposite needs. A peer under way has a queue and a deadline, lives for
//! seconds and costs whoever invents it one packet, so there are few of them and they push out each other. A
//! trusted peer has answered from its mapping; there may be millions, and nothing that invents destinations gets
//! at them. Of a trusted peer nothing has to be remembered but the address and two times: a relay sends to the
//! mapping in the address and nowhere else (RFC 4380 §5.4.2).

mod key;
mod table;
mod tick;
mod underway;

pub(super) use key::{Key, SipKeys};
pub(super) use table::Table;
pub(super) use tick::Tick;
pub(super) use underway::{Ask, Bounds, Cause, Due, Underway};

#[cfg(test)]
mod tests;
