use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use teredo::wire::{Flags, Ipv6Packet, TeredoAddress};

use super::*;
use crate::TunQueues;
use crate::net::{Interface, InterfaceConfig};
use crate::netns::{block_on, eventually, isolated};
use crate::tun::PacketBatch;
use crate::udp::ReceiveBatch;

const COUNT: NonZeroUsize = NonZeroUsize::new(3).unwrap();

fn lanes(count: usize) -> Lanes {
    Lanes::new(NonZeroUsize::new(count).unwrap(), 0x9e37_79b1)
}

/// Addresses that fall to all lanes.
fn clients() -> impl Iterator<Item = Ipv4Addr> {
    (1..=40).map(|last| Ipv4Addr::new(127, 7, 0, last))
}

/// Whichever bits of the addresses differ.
#[test]
fn addresses_are_spread() {
    for count in [2, 3, 4, 8] {
        for shift in [0, 8, 16, 24] {
            let lanes = lanes(count);
            let clients =
                (1..=200).map(|bits: u32| Ipv4Addr::from_bits(0x0100_0001 ^ (bits << shift)));
            let taken: HashSet<usize> = clients.map(|client| lanes.of(client)).collect();
            assert_eq!(taken.len(), count, "{count} lanes, bits from {shift} on");
        }
    }
}

#[test]
fn the_kernel_reckons_the_same_for_datagrams() {
    isolated(|| {
        let lanes = lanes(COUNT.get());
        let sockets = lanes.bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        let port = sockets[0].local();
        assert!(sockets.iter().all(|socket| socket.local() == port));
        let mut batch = ReceiveBatch::new();
        for client in clients() {
            let from = UdpSocket::bind((client, 0)).unwrap();
            from.send_to(b"x", port).unwrap();
            eventually("the datagram", || {
                sockets[lanes.of(client)].receive(&mut batch).ok()
            });
            let senders: Vec<Ipv4Addr> = batch.datagrams().map(|one| *one.from.ip()).collect();
            assert_eq!(senders, [client]);
        }
    });
}

#[test]
fn the_kernel_reckons_the_same_for_packets() {
    isolated(|| {
        let queues = TunQueues::open(Some("teredo"), COUNT).unwrap();
        assert_eq!(queues.count(), COUNT.get(), "it takes CAP_BPF");
        let lanes = queues.lanes();
        let own: Ipv6Addr = "2001:db8::1".parse().unwrap();
        block_on(async {
            let config = InterfaceConfig {
                default_route: None,
                ..InterfaceConfig::default()
            };
            let mut interface = Interface::set_up(queues.first(), config).await.unwrap();
            interface.set_routes().await.unwrap();
        });
        crate::netns::netlink(async |handle| {
            crate::netns::add_address(&handle, "lo", own, 128).await;
        });
        let host = eventually("the address", || UdpSocket::bind((own, 0)).ok());
        let queues: Vec<Tun> = queues.into_each().collect();
        let mut batch = PacketBatch::new();
        for client in clients() {
            let address = TeredoAddress {
                server: Ipv4Addr::new(192, 0, 2, 1),
                flags: Flags::default(),
                mapped: SocketAddrV4::new(client, 4096),
            };
            let to = address.to_ipv6();
            host.send_to(b"x", SocketAddrV6::new(to, 9, 0, 0)).unwrap();
            eventually("the packet", || {
                queues[lanes.of(client)].read_batch(&mut batch).ok()?;
                let packets = batch.packets().iter();
                let mut packets = packets.map(|range| &batch.arena()[range.clone()]);
                // The kernel has things to say by itself, such as that it is there.
                let found = packets.any(|bytes| {
                    Ipv6Packet::parse(bytes).is_ok_and(|packet| packet.destination() == to)
                });
                found.then_some(())
            });
        }
    });
}

/// One thread does the work of all where it may not load a program.
#[test]
fn without_the_privilege_there_is_one_queue() {
    let anybody = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap();
    assert_ne!(
        anybody.trim(),
        "0",
        "bpf(2) takes no privilege on this machine"
    );
    isolated(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective = CapabilitySet::NET_ADMIN;
        set_capabilities(None, sets).unwrap();
        let queues = TunQueues::open(Some("teredo"), COUNT).unwrap();
        assert_eq!(queues.count(), 1);
        assert_eq!(queues.first().name(), "teredo");
    });
}
