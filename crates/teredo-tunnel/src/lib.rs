//! The Linux data path of Teredo: TUN and UDP in batches, addresses and routes by netlink.
//!
//! # Threads
//!
//! ```text
//!   control thread (tokio)                          data-path thread
//!  ┌────────────────────────────┐  commands, Waker  ┌──────────────────────────────────────────────┐
//!  │ ClientHandle               │ ────────────────> │ Lane                                         │
//!  │                            │                   │                        ┌──────────────┐      │
//!  │ NetworkMonitor             │   LaneEvent       │  TUN ═══ packets ════> │              │ ═> UDP
//!  │   the network changed      │ <──────────────── │                        │ teredo::     │      │
//!  │ Interface                  │                   │  TUN <══ deliveries ══ │   Client     │ <═ UDP
//!  │   address and routes       │                   │                        │              │      │
//!  └────────────────────────────┘                   │  timerfd ───────────>  └──────────────┘      │
//!          PortAnnouncer  <──────────────────────── │  gate: announce, wait until settled, send    │
//!                                                   └──────────────────────────────────────────────┘
//! ```
//!
//! [`relay::RelayHandle`] is the same picture with `teredo::Relay`, and its port stays what it is. It has a thread per
//! core, each with a queue of the interface, a socket and the clients that fall to it by their IPv4 address;
//! [`server::ServerHandle`] has a thread per core, no interface and no gate. The data path shares
//! nothing with the rest of the program: commands go in through a channel, events and answers come out.
//!
//! # Batches
//!
//! ```text
//!  out: readv x n ─> [super-packet] [packet] ...
//!                        │ offload::Cut                   the only copy, with the checksums in the same pass
//!                        v
//!                    [packet|packet|packet|packet|...]   one arena, end to end
//!                        │ handle_tun: Send(to)          no copy: a train refers to a run of the arena
//!                        v
//!                    [train to A ][B][C][train to A]     UDP_SEGMENT per train, sendmmsg for what stands alone
//!
//!  in:  recvmmsg ─> [train, merged by UDP_GRO][datagram][...]
//!                        │ handle_udp: Deliver(packet)   no copy: a packet is a part of its datagram
//!                        v
//!                    offload::Coalescer                  no copy: new headers, payloads where they are
//!                        v
//!                    writev per super-packet
//! ```
//!
//! After each super-packet everything that the state machine has to send is appended to the same batch, so that what
//! was queued earlier leaves earlier. Nothing is allocated per packet.
//!
//! # Make before break
//!
//! No datagram leaves from a port that has not been announced and settled ([`port::PortAnnouncer`]). A
//! rebind stops sending, announces, waits without standing still, and only then moves over.
//!
//! # Unsafe code
//!
//! Around the system calls that no safe wrapper covers: `TUNSETIFF` and `TUNSETOFFLOAD` in `tun/ioctl.rs`,
//! `TUNSETSTEERINGEBPF` and bpf(2) in `steer/program.rs`, `IPT_SO_GET_INFO` in `net/iptables.rs`, and the mapped memory of a
//! server's limits in `server/kernel/buckets.rs`. The reactor takes one descriptor on trust, in `server/kernel/watch.rs`.

#![deny(unsafe_code)]

pub mod client;
pub mod clock;
pub mod kernel;
pub mod lane;
pub mod net;
#[cfg(test)]
mod netns;
pub mod offload;
pub mod port;
pub mod relay;
pub mod server;
mod steer;
mod tun;
mod udp;
mod waker;

pub use lane::SpawnError;
pub use port::PortAnnouncer;
pub use tun::{OpenError, Tun, TunQueues};
pub use udp::BindError;
pub use waker::Waker;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
