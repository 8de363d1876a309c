use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use teredo_lab::Receive;

use super::*;
use crate::netns::{add_address, eventually, index, isolated, netlink, set_up};
use crate::offload::{Coalescer, finish};

fn exists(name: &str) -> bool {
    netlink(async |handle| index(&handle, name).await).is_some()
}

#[test]
fn names_that_the_kernel_cannot_have_are_refused() {
    for name in [
        "",
        "0123456789abcdef",
        "a/b",
        "a b",
        "a:b",
        "tun%d",
        ".",
        "..",
        "a\n",
    ] {
        assert!(
            matches!(Tun::open(Some(name)), Err(OpenError::InvalidName { .. })),
            "{name:?}"
        );
    }
    assert!(is_valid_name("0123456789abcde"));
}

#[test]
fn the_interface_lives_as_long_as_the_value() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        assert_eq!(tun.name(), "teredo");
        assert_eq!(
            netlink(async |handle| index(&handle, "teredo").await),
            Some(tun.index())
        );
        drop(tun);
        // A process that another test starts holds the descriptor until its exec.
        eventually("the interface is gone", || {
            (!exists("teredo")).then_some(())
        });
    });
}

#[test]
fn without_a_name_the_first_free_number_is_taken() {
    isolated(|| {
        let first = Tun::open(None).unwrap();
        let second = Tun::open(None).unwrap();
        assert_eq!((first.name(), second.name()), ("teredo0", "teredo1"));
    });
}

#[test]
fn a_second_instance_is_told_that_the_name_is_taken() {
    isolated(|| {
        let _first = Tun::open(Some("teredo")).unwrap();
        let second = Tun::open(Some("teredo"));
        assert!(matches!(second, Err(OpenError::NameTaken { name }) if name == "teredo"));
        assert!(matches!(
            Tun::open(Some("lo")),
            Err(OpenError::NameTaken { .. })
        ));
    });
}

#[test]
fn without_the_privilege_it_says_so() {
    isolated(|| {
        // The capability is one of the thread, and this thread belongs to this test alone.
        let all = rustix::thread::capabilities(None).unwrap();
        let mut less = all;
        less.effective
            .remove(rustix::thread::CapabilitySet::NET_ADMIN);
        rustix::thread::set_capabilities(None, less).unwrap();
        assert!(matches!(Tun::open(None), Err(OpenError::NotPermitted)));
        rustix::thread::set_capabilities(None, all).unwrap();
    });
}

/// Packets lie end to end in the order in which the host sent them, and a full batch leaves the rest for later.
#[test]
fn a_batch_holds_the_packets_in_order_and_end_to_end() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        netlink(async |handle| {
            add_address(&handle, "teredo", Ipv4Addr::new(192, 0, 2, 1), 24).await;
            set_up(&handle, "teredo").await;
        });
        let socket = UdpSocket::bind("192.0.2.1:4000").unwrap();
        let total = BATCH + 10;
        for number in 0..total {
            socket
                .send_to(&vec![number as u8; 100 + number], "192.0.2.2:9")
                .unwrap();
        }
        let mut batch = PacketBatch::new();
        let mut expected = 0;
        while expected < total {
            eventually("a packet", || tun.read_batch(&mut batch).ok());
            assert!(batch.packets().len() <= BATCH);
            let mut end = 0;
            for range in batch.packets() {
                let packet = &batch.arena()[range.clone()];
                assert_eq!(range.start, end);
                end = range.end;
                // IPv6 and multicast chatter of the kernel is not what was sent here.
                if packet[0] >> 4 == 4 && packet[9] == 17 && packet[16..20] == [192, 0, 2, 2] {
                    assert_eq!(&packet[28..], vec![expected as u8; 100 + expected]);
                    expected += 1;
                }
            }
        }
    });
}

#[test]
fn nothing_to_read_would_block() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let error = tun.read_batch(&mut PacketBatch::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_packet_that_is_written_arrives_at_the_host() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        netlink(async |handle| {
            add_address(&handle, "teredo", Ipv4Addr::new(192, 0, 2, 1), 24).await;
            set_up(&handle, "teredo").await;
        });
        let socket = UdpSocket::bind("192.0.2.1:4000").unwrap();
        socket
            .set_read_timeout(Some(crate::netns::PATIENCE))
            .unwrap();
        // IPv4 and UDP from 192.0.2.2:9 to 192.0.2.1:4000; no UDP checksum.
        let mut packet = vec![
            0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
        ];
        packet.extend_from_slice(&[0, 9, 0x0f, 0xa0, 0, 12, 0, 0]);
        packet.extend_from_slice(b"here");
        let words = packet[..20]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        tun.write(&packet).unwrap();
        let mut buffer = [0; 16];
        let (len, from) = socket.receive_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..len], from),
            (&b"here"[..], "192.0.2.2:9".parse().unwrap())
        );
    });
}

const HERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PORT: u16 = 4000;

/// An interface with offloads, or without, and a socket on its address.
fn over_ipv6(offloads: bool) -> (Tun, UdpSocket) {
    let mut tun = Tun::open(Some("teredo")).unwrap();
    if offloads {
        assert!(tun.enable_offloads().tcp, "every kernel knows these");
    }
    netlink(async |handle| {
        add_address(&handle, "teredo", HERE, 64).await;
        set_up(&handle, "teredo").await;
    });
    let socket = eventually("the address is in effect", || {
        UdpSocket::bind((HERE, PORT)).ok()
    });
    socket
        .set_read_timeout(Some(crate::netns::PATIENCE))
        .unwrap();
    (tun, socket)
}

/// The host's own datagram to [`THERE`], whatever else the kernel says.
fn is_sent_here(packet: &[u8]) -> bool {
    packet.len() > 48 && packet[6] == 17 && packet[24..40] == THERE.octets()
}

/// RFC 8200 §8.1, word by word.
fn is_intact(packet: &[u8]) -> bool {
    let mut sum = packet.len() as u32 - 40 + u32::from(packet[6]);
    for pair in packet[8..].chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

fn payload(number: usize) -> Vec<u8> {
    vec![number as u8; if number == 19 { 77 } else { 1000 }]
}

/// A super-packet of the host is cut into packets of a run, end to end, each as if it had been sent alone.
#[test]
fn a_super_packet_of_the_host_is_cut() {
    for offloads in [true, false] {
        isolated(move || {
            let (tun, socket) = over_ipv6(offloads);
            setsockopt(&socket, UdpGsoSegment, &1000).unwrap();
            let burst: Vec<u8> = (0..20).flat_map(payload).collect();
            socket
                .send_to(&burst, SocketAddrV6::new(THERE, PORT, 0, 0))
                .unwrap();
            let mut batch = PacketBatch::new();
            let (mut packets, mut runs) = (Vec::new(), 0);
            while packets.len() < 20 {
                eventually("a packet", || tun.read_batch(&mut batch).ok());
                assert_eq!(batch.uncut(), 0);
                let mut end = 0;
                for run in batch.runs() {
                    let first = &batch.arena()[run[0].clone()];
                    runs += usize::from(is_sent_here(first));
                    for range in run {
                        assert_eq!(range.start, end);
                        end = range.end;
                        packets.push(batch.arena()[range.clone()].to_vec());
                    }
                }
                packets.retain(|packet| is_sent_here(packet));
            }
            assert_eq!(runs, if tun.offloads().udp { 1 } else { 20 });
            for (number, packet) in packets.iter().enumerate() {
                assert_eq!(packet[48..], payload(number));
                assert!(is_intact(packet), "{number}");
                let len = u16::from_be_bytes([packet[4], packet[5]]);
                assert_eq!(usize::from(len), packet.len() - 40);
            }
        });
    }
}

/// A super-packet that does not fit into a batch goes on in the next.
#[test]
fn what_has_no_room_waits_for_the_next_batch() {
    isolated(|| {
        let (tun, socket) = over_ipv6(true);
        setsockopt(&socket, UdpGsoSegment, &100).unwrap();
        for burst in 0..5u8 {
            socket
                .send_to(&[burst; 6000], SocketAddrV6::new(THERE, PORT, 0, 0))
                .unwrap();
        }
        let mut batch = PacketBatch::new();
        let mut bursts = Vec::new();
        while bursts.len() < 300 {
            eventually("a packet", || tun.read_batch(&mut batch).ok());
            assert!(batch.packets().len() <= PACKETS);
            let packets = batch
                .packets()
                .iter()
                .map(|range| &batch.arena()[range.clone()]);
            bursts.extend(packets.filter(|packet| is_sent_here(packet)).map(|packet| {
                assert!(packet.len() == 148 && is_intact(packet));
                packet[48]
            }));
        }
        let expected: Vec<u8> = (0..5).flat_map(|burst| [burst; 60]).collect();
        assert_eq!(bursts, expected);
        assert!(!batch.has_rest());
    });
}

/// A super-packet that is written arrives as the datagrams that it was made of.
#[test]
fn datagrams_that_are_written_as_one_arrive_one_by_one() {
    isolated(|| {
        let (tun, socket) = over_ipv6(true);
        let packets: Vec<u8> = (0..20)
            .flat_map(|number| {
                let payload = payload(number);
                let len = (8 + payload.len()) as u16;
                let mut packet = vec![0x60, 0, 0, 0];
                packet.extend_from_slice(&len.to_be_bytes());
                packet.extend_from_slice(&[17, 64]);
                packet.extend_from_slice(&THERE.octets());
                packet.extend_from_slice(&HERE.octets());
                for word in [PORT, PORT, len, 0] {
                    packet.extend_from_slice(&word.to_be_bytes());
                }
                packet.extend_from_slice(&payload);
                let checksum = teredo::wire::checksum(THERE, HERE, 17, &packet[40..]);
                packet[46..48].copy_from_slice(&checksum.to_be_bytes());
                packet
            })
            .collect();
        let mut coalescer = Coalescer::new(20, tun.offloads());
        for number in 0..20 {
            let start = number * 1048;
            coalescer.push(&packets, start..packets.len().min(start + 1048));
        }
        let writes = coalescer.iter(&packets).count();
        assert_eq!(writes, if tun.offloads().udp { 1 } else { 20 });
        for packet in coalescer.iter(&packets) {
            tun.write_super(&packet).unwrap();
        }
        let mut buffer = [0; 2000];
        for number in 0..20 {
            let (len, from) = socket.receive_from(&mut buffer).unwrap();
            assert_eq!(from.ip(), THERE);
            assert_eq!(buffer[..len], payload(number));
        }
    });
}

/// A super-packet that came as one is forwarded in segments that the tunnel takes, and so is one that was cut here.
#[test]
fn a_super_packet_of_a_peer_is_forwarded_in_segments() {
    const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
    for offloads in [true, false] {
        isolated(move || {
            let (tun, _socket) = over_ipv6(offloads);
            // Without offloads the kernel cuts what leaves there.
            let native = Tun::open(Some("native")).unwrap();
            netlink(async |handle| {
                add_address(&handle, "native", NATIVE, 64).await;
                set_up(&handle, "native").await;
            });
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
            let mut packet = teredo_segmentation::Packet::tcp(7, vec![9; 30_000]);
            packet.addresses[..16].copy_from_slice(&THERE.octets());
            packet.addresses[16..].copy_from_slice(&NATIVE.octets());
            packet.addresses[31] = 2;
            let (_, mut bytes) = packet.super_packet(Some(1208));
            let header = finish(&mut bytes).unwrap();
            let mut coalescer = Coalescer::new(1, tun.offloads());
            coalescer.push_uncut(0..bytes.len(), header);
            for packet in coalescer.iter(&bytes) {
                assert_eq!((packet.is_super(), packet.count()), (offloads, 25));
                if packet.is_super() {
                    tun.write_super(&packet).unwrap();
                    continue;
                }
                let mut cut = packet.cut().unwrap();
                let mut segment = [0; 1280];
                while let Some(len) = cut.emit(&bytes, &mut segment) {
                    tun.write(&segment[..len]).unwrap();
                }
            }
            packet.hop_limit -= 1;
            let expected: Vec<_> = packet
                .segments(1208)
                .iter()
                .map(|part| part.write())
                .collect();
            let (mut batch, mut forwarded) = (PacketBatch::new(), Vec::new());
            while forwarded.len() < expected.len() {
                eventually("a segment", || native.read_batch(&mut batch).ok());
                let packets = batch.packets().iter();
                let packets = packets.map(|range| batch.arena()[range.clone()].to_vec());
                forwarded.extend(packets.filter(|packet| packet[6] == 6));
            }
            assert!(forwarded == expected, "{offloads}");
        });
    }
}
