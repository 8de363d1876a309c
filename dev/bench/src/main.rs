//! The benchmarks. `cargo xtask bench` builds and starts this program.
//!
//! `compare` measures the data path, the server and the firewall beside their rivals. `notify` measures the time from a
//! port change to the callbacks, and its cost. `offload` measures the data path's work on bytes, beside copying them.
//!
//! The program starts itself again for each process that a measurement needs; these processes end with it.

#![forbid(unsafe_code)]

mod compare;
mod machine;
mod notify;
mod offload;
mod process;
mod statistics;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(
    about = "Measures the port notifications and the data path beside their rivals",
    version
)]
enum Task {
    /// The data path, the server and the firewall, beside their rivals.
    Compare(compare::Options),
    /// From the announcement of a port to the callbacks.
    Notify(notify::Options),
    /// Cutting super-packets and putting packets together, beside copying them.
    Offload(offload::Options),
    /// Started by `notify`: a process with registrations.
    #[command(hide = true)]
    Receive(notify::receiver::Options),
    /// Started by `compare`: a server that echoes.
    #[command(hide = true)]
    Echo(compare::server::EchoOptions),
    /// Started by `compare`: an end of a tunnel with offloads and no protocol.
    #[command(hide = true, name = "tun-rs")]
    TunRs(compare::tun_rs::Options),
    /// Started by `compare`: a list of peers whose memory is measured.
    #[command(hide = true)]
    Peers(compare::peers::Options),
    /// Started by `notify`: a service whose memory is watched.
    #[command(hide = true)]
    Serve(notify::memory::ServeOptions),
    /// Started by `notify`: a process whose registrations' memory is measured.
    #[command(hide = true)]
    Hold(notify::memory::HoldOptions),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Compare(options) => compare::run(&options),
        Task::Notify(options) => notify::run(&options),
        Task::Offload(options) => offload::run(&options),
        Task::Receive(options) => notify::receiver::run(&options),
        Task::Echo(options) => compare::server::echo(&options),
        Task::TunRs(options) => compare::tun_rs::run(&options),
        Task::Peers(options) => compare::peers::run(&options),
        Task::Serve(options) => notify::memory::serve(&options),
        Task::Hold(options) => notify::memory::hold(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
