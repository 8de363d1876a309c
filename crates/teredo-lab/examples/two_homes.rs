//! Two hosts behind NATs, a public host that tells each the other's mapping, and a hole punched between them.
//!
//! An ordinary user may run it if the system allows user namespaces: `cargo run -p teredo-lab --example two_homes`

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use teredo_lab::{Internet, NatKind, Receive, privilege};

const RENDEZVOUS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 45), 3544);

fn main() -> Result<(), Box<dyn Error>> {
    // Before anything else: a process with threads cannot enter a user namespace.
    privilege::enter()?;

    let internet = Internet::new()?;
    let server = internet.host("server", &[RENDEZVOUS.0])?;
    let rendezvous = server.udp_socket(RENDEZVOUS)?;

    let mut peers = Vec::new();
    for (name, public) in [
        ("alice", Ipv4Addr::new(198, 51, 100, 1)),
        ("bob", Ipv4Addr::new(203, 0, 113, 1)),
    ] {
        let home = internet.home(&format!("{name}-home"), NatKind::PortRestricted, public)?;
        let host = home.host(name)?;
        let socket = host.udp_socket((host.ipv4(), 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"hello", RENDEZVOUS)?;
        let (_, mapping) = rendezvous.receive_from(&mut [0; 16])?;
        println!("{name}: {} is {mapping} outside", socket.local_addr()?);
        peers.push((home, host, socket, mapping));
    }

    let [(_, _, alice, alice_mapping), (_, _, bob, bob_mapping)] = &peers[..] else {
        unreachable!("there are two homes")
    };
    // Alice's first datagram dies at bob's router, and opens her own for bob's.
    alice.send_to(b"bubble", bob_mapping)?;
    bob.send_to(b"bubble", alice_mapping)?;
    let (_, from): (_, SocketAddr) = alice.receive_from(&mut [0; 16])?;
    println!("alice hears {from}");
    Ok(())
}
