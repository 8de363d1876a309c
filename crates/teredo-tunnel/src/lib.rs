//! The Linux data path of Teredo.
#![deny(unsafe_code)]

pub mod clock;
pub mod engine;
mod gate;
pub mod interface;
#[cfg(test)]
mod netns;
pub mod server;
mod tun;
mod udp;
mod waker;
pub mod watch;

pub use engine::{Engine, EngineConfig, EngineEvent, EngineHandle, EngineStatus, PortAnnouncer};
pub use tun::{OpenError, Tun};
pub use udp::BindError;
pub use waker::Waker;
