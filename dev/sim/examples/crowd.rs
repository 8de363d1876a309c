//! A crowd: so many clients, each behind a home NAT, of ten servers, for so many virtual seconds.
//!
//! ```text
//! cargo build --release -p teredo-sim --example crowd
//! /usr/bin/time -v target/release/examples/crowd 100000 600
//! ```
//!
//! It says how many clients are qualified and how many datagrams there were; `time` says how long it took and how much
//! memory it had.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::ServerAddress;
use teredo::client::State;
use teredo_sim::{CaptureMode, NatBehaviour, World};

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the simulator does no I/O; its examples do"
)]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let mut number = |default| match arguments.next() {
        Some(Ok(number)) => number,
        _ => default,
    };
    let (clients, seconds) = (number(10_000), number(600));

    let mut world = World::new(1);
    world.keep_output(0);
    world.capture_mut().set_mode(CaptureMode::HashOnly);
    let servers: Vec<ServerAddress> = (0..10)
        .map(|number| ServerAddress::adjacent(Ipv4Addr::new(192, 0, 2, 2 * number + 1)))
        .collect();
    for server in &servers {
        world.add_server(*server);
    }
    let kinds = [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    ];
    let mut added = Vec::new();
    for number in 0..clients {
        let external = Ipv4Addr::from(u32::from(Ipv4Addr::new(60, 0, 0, 0)) + number);
        let kind = kinds[number as usize % kinds.len()];
        let nat = world.add_nat(kind, external);
        let local = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50_000);
        let server = servers[number as usize % servers.len()];
        added.push(world.add_client(nat, local, &[server]));
        // They do not start all at once.
        world.run_for(Duration::from_micros(100));
    }
    world.run_for(Duration::from_secs(u64::from(seconds)));
    let qualified = added.iter().filter(|client| {
        let status = world.client(**client).client().status();
        status.state == State::Qualified
    });
    println!(
        "{} of {clients} qualified, {} datagrams, hash {:016x}",
        qualified.count(),
        world.capture().total(),
        world.capture().hash()
    );
}
