use std::net::Ipv4Addr;

use super::*;
use crate::netns::{add_address, eventually, index, isolated, netlink, set_up};

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
        assert!(!exists("teredo"));
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
        let socket = std::net::UdpSocket::bind("192.0.2.1:4000").unwrap();
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
        let socket = std::net::UdpSocket::bind("192.0.2.1:4000").unwrap();
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
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..len], from),
            (&b"here"[..], "192.0.2.2:9".parse().unwrap())
        );
    });
}
