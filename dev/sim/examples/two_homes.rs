//! Two homes behind NATs exchange a packet: `cargo run -p teredo-sim --example two_homes`.
//!
//! The example prints every datagram with its virtual time: the qualification, the bubbles that open both NATs, and the
//! packet itself.

#![allow(clippy::disallowed_macros, reason = "an example prints what it does")]

use std::time::Duration;

use teredo::ServerAddress;
use teredo::wire::emit_echo_request;
use teredo_sim::{NatBehaviour, World};

fn main() {
    let mut world = World::new(1);
    let server = ServerAddress::adjacent([192, 0, 2, 1].into());
    world.add_server(server);
    let [alice, bob] = [1, 2].map(|home| {
        let nat = world.add_nat(NatBehaviour::port_restricted(), [203, 0, 113, home]);
        let local = "192.168.1.2:50000".parse().expect("an address and a port");
        world.add_client(nat, local, &[server])
    });
    let qualified = world.run_until(Duration::from_secs(10), |world| {
        [alice, bob].map(|client| world.client(client).client().status().address.is_some())
            == [true; 2]
    });
    assert!(qualified, "{}", world.capture());

    let [from, to] = [alice, bob].map(|client| {
        let status = world.client(client).client().status();
        status.address.expect("the client is qualified")
    });
    let mut packet = Vec::new();
    emit_echo_request(from, to, 64, 1, 1, b"hello", &mut packet);
    world.send(alice, &packet);
    let arrived = world.run_until(Duration::from_secs(10), |world| {
        !world.client(bob).delivered().is_empty()
    });
    assert!(arrived, "{}", world.capture());
    print!("{}", world.capture());
}
