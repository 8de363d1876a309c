use std::net::SocketAddrV4;
use std::ops::Range;

use teredo::wire::Ecn;

use super::*;
use crate::Tun;
use crate::netns::{add_address, eventually, isolated, netlink, set_up};
use crate::tun::PacketBatch;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4096);
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 3), 4096);

/// `count` payloads of `len` bytes, each filled with its number, end to end.
fn payloads(count: usize, len: usize) -> (Vec<u8>, Vec<Range<usize>>) {
    let bytes = (0..count)
        .flat_map(|number| vec![number as u8; len])
        .collect();
    (
        bytes,
        (0..count)
            .map(|number| number * len..(number + 1) * len)
            .collect(),
    )
}

fn batch(to: SocketAddrV4, ranges: &[Range<usize>]) -> SendBatch {
    let mut batch = SendBatch::default();
    for range in ranges {
        assert!(batch.push(to, Arena::Packets, range.clone()));
    }
    batch
}

fn send(socket: &ServiceSocket, batch: &mut SendBatch, bytes: &[u8]) -> send::Sent {
    socket.send(
        batch,
        Arenas {
            packets: bytes,
            answers: &[],
        },
    )
}

/// A link whose far end the test reads: the kernel has to cut every train before it gets there.
fn link(mtu: u32) -> Tun {
    let tun = Tun::open(Some("link")).unwrap();
    netlink(async |handle| {
        add_address(&handle, "link", HERE, 24).await;
        let message = rtnetlink::LinkUnspec::new_with_name("link")
            .mtu(mtu)
            .build();
        handle.link().change(message).execute().await.unwrap();
        set_up(&handle, "link").await;
    });
    tun
}

/// Reads IPv4 packets of UDP off the link until there are `count`.
fn read(tun: &Tun, count: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut batch = PacketBatch::new();
    while packets.len() < count {
        eventually("a packet on the link", || tun.read_batch(&mut batch).ok());
        let all = batch
            .packets()
            .iter()
            .map(|range| batch.arena()[range.clone()].to_vec());
        packets.extend(all.filter(|packet| packet[0] >> 4 == 4 && packet[9] == 17));
    }
    packets
}

fn assert_no_df_and_no_ecn(packet: &[u8]) {
    assert_eq!(packet[6] & 0x40, 0, "DF is set");
    assert_eq!(packet[1] & 0x03, 0, "ECN bits are set");
}

/// R4380-5.1.2-03: a train is cut into its datagrams, in order, none with DF set.
#[test]
fn a_train_arrives_as_its_datagrams_without_df() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (mut bytes, mut ranges) = payloads(20, 1280);
        bytes.extend_from_slice(&[20; 300]);
        ranges.push(bytes.len() - 300..bytes.len());
        let sent = send(&socket, &mut batch(THERE, &ranges), &bytes);
        assert_eq!(
            (sent.datagrams, sent.bytes, sent.calls, sent.refused),
            (21, 20 * 1280 + 300, 1, 0)
        );
        for (number, packet) in read(&tun, 21).iter().enumerate() {
            assert_no_df_and_no_ecn(packet);
            assert_eq!(packet[16..20], THERE.ip().octets());
            let len = if number == 20 { 300 } else { 1280 };
            assert_eq!(&packet[28..], vec![number as u8; len]);
        }
    });
}

/// R4380-5.1.2-03: single datagrams, to several places in one call.
#[test]
fn datagrams_to_several_places_leave_in_order_in_one_call_without_df() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (bytes, ranges) = payloads(10, 500);
        let mut batch = SendBatch::default();
        for (number, range) in ranges.into_iter().enumerate() {
            let to = if number % 2 == 0 { THERE } else { ELSEWHERE };
            assert!(batch.push(to, Arena::Packets, range));
        }
        let sent = send(&socket, &mut batch, &bytes);
        assert_eq!((sent.datagrams, sent.calls), (10, 1));
        for (number, packet) in read(&tun, 10).iter().enumerate() {
            assert_no_df_and_no_ecn(packet);
            let to = if number % 2 == 0 { THERE } else { ELSEWHERE };
            assert_eq!(packet[16..20], to.ip().octets());
            assert_eq!(&packet[28..], [number as u8; 500]);
        }
    });
}

/// A time to live of its own is for one datagram, in its place among the others to the same peer.
#[test]
fn a_datagram_can_have_a_time_to_live_of_its_own() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (bytes, ranges) = payloads(5, 40);
        let mut batch = SendBatch::default();
        for (number, range) in ranges.into_iter().enumerate() {
            assert!(if number == 2 {
                batch.push_from(SERVICE, THERE, Arena::Packets, range, Some(2))
            } else {
                batch.push(THERE, Arena::Packets, range)
            });
        }
        assert_eq!((batch.trains(), batch.len()), (3, 5));
        let sent = send(&socket, &mut batch, &bytes);
        assert_eq!((sent.datagrams, sent.bytes, sent.refused), (5, 200, 0));
        for (number, packet) in read(&tun, 5).iter().enumerate() {
            assert_no_df_and_no_ecn(packet);
            assert_eq!(packet[8] == 2, number == 2, "TTL {}", packet[8]);
            assert_eq!(&packet[28..], [number as u8; 40]);
        }
    });
}

/// A datagram without a UDP checksum leaves in its place, and those after it have theirs.
#[test]
fn a_datagram_can_have_no_checksum() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (bytes, ranges) = payloads(6, 1280);
        let mut batch = SendBatch::default();
        for (number, range) in ranges.into_iter().enumerate() {
            assert!(if number == 1 {
                batch.push_bare(SERVICE, THERE, Arena::Packets, range)
            } else {
                batch.push(THERE, Arena::Packets, range)
            });
        }
        assert!(!batch.push_bare(
            SERVICE,
            SocketAddrV4::new(*THERE.ip(), 0),
            Arena::Packets,
            0..1
        ));
        assert_eq!((batch.trains(), batch.len()), (3, 6));
        let sent = send(&socket, &mut batch, &bytes);
        assert_eq!((sent.datagrams, sent.bytes, sent.refused), (6, 6 * 1280, 0));
        for (number, packet) in read(&tun, 6).iter().enumerate() {
            assert_no_df_and_no_ecn(packet);
            assert_eq!(packet[26..28] == [0, 0], number == 1, "{number}");
            assert_eq!(&packet[28..], vec![number as u8; 1280]);
        }
    });
}

/// R4380-5.1.2-03: where a datagram exceeds the link's MTU the kernel will not cut the train; it leaves in fragments.
#[test]
fn a_train_that_exceeds_the_mtu_leaves_in_fragments() {
    isolated(|| {
        let tun = link(1280);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (bytes, ranges) = payloads(5, 1280);
        let sent = send(&socket, &mut batch(THERE, &ranges), &bytes);
        assert_eq!((sent.datagrams, sent.bytes, sent.refused), (5, 5 * 1280, 0));
        let packets = read(&tun, 10);
        packets
            .iter()
            .for_each(|packet| assert_no_df_and_no_ecn(packet));
        let first_fragments = packets
            .iter()
            .filter(|packet| packet[6] & 0x20 != 0)
            .count();
        assert_eq!(first_fragments, 5);
    });
}

/// R4380-5.1.2-04: a packet of 1280 bytes behind both elements arrives whole, whatever fragments it came in.
#[test]
fn a_datagram_in_fragments_is_received_whole() {
    isolated(|| {
        let tun = link(600);
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        let (bytes, ranges) = payloads(1, 13 + 8 + 1280);
        send(&socket, &mut batch(THERE, &ranges), &bytes);
        let mut fragments = read(&tun, 3);
        assert!(fragments.iter().all(|fragment| fragment.len() <= 600));
        // Back to where they came from; the checksums do not change.
        for fragment in &mut fragments {
            let (source, destination) = fragment[12..20].split_at_mut(4);
            source.swap_with_slice(destination);
        }
        let (source, destination) = fragments[0][20..24].split_at_mut(2);
        source.swap_with_slice(destination);
        // The last one first.
        for fragment in fragments.iter().rev() {
            tun.write(fragment).unwrap();
        }
        let mut received = ReceiveBatch::new();
        eventually("the datagram", || socket.receive(&mut received).ok());
        let datagrams: Vec<_> = received.datagrams().collect();
        assert_eq!(datagrams.len(), 1);
        assert_eq!(datagrams[0].from, THERE);
        assert_eq!(received.arena()[datagrams[0].payload.clone()], bytes);
    });
}

/// The train after one that was refused leaves as a train all the same.
#[test]
fn what_is_refused_does_not_hold_up_the_rest() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(Ipv4Addr::UNSPECIFIED, 5000).unwrap();
        let nowhere = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 9);
        let (bytes, ranges) = payloads(6, 1000);
        let mut batch = SendBatch::default();
        for (to, range) in [nowhere, nowhere, THERE, nowhere, THERE, THERE]
            .into_iter()
            .zip(ranges)
        {
            assert!(batch.push(to, Arena::Packets, range));
        }
        let sent = send(&socket, &mut batch, &bytes);
        assert_eq!((sent.datagrams, sent.refused), (3, 3));
        assert_eq!(
            sent.error.and_then(|error| error.raw_os_error()),
            Some(libc::ENETUNREACH)
        );
        let numbers: Vec<_> = read(&tun, 3).iter().map(|packet| packet[28]).collect();
        assert_eq!(numbers, [2, 4, 5]);
    });
}

#[test]
fn a_full_socket_keeps_the_rest_of_the_batch() {
    isolated(|| {
        // Until the neighbour's address is known, what is sent stays charged to the socket.
        netlink(async |handle| {
            handle
                .link()
                .add(rtnetlink::LinkVeth::new("near", "far").build())
                .execute()
                .await
                .unwrap();
            set_up(&handle, "far").await;
            set_up(&handle, "near").await;
            add_address(&handle, "near", HERE, 24).await;
        });
        let ipv4 = Protocol::from(i32::from((libc::ETH_P_IP as u16).to_be()));
        let mut capture = Socket::new(Domain::PACKET, Type::DGRAM, Some(ipv4)).unwrap();
        capture
            .set_read_timeout(Some(crate::netns::PATIENCE))
            .unwrap();
        let socket = ServiceSocket::bind(HERE, 5000).unwrap();
        sockopt::set_socket_send_buffer_size(&socket, 0).unwrap();
        // Each longer than the one before: no two of them make a train.
        let ranges: Vec<_> = (0..60)
            .map(|number| number * 100..number * 101 + 100)
            .collect();
        let bytes = vec![7; 60 * 101 + 100];
        let mut batch = batch(THERE, &ranges);
        let first = send(&socket, &mut batch, &bytes);
        assert!(first.blocked && !batch.is_empty());
        assert_eq!(batch.len() as u64, 60 - first.datagrams);

        netlink(async |handle| {
            let near = crate::netns::index(&handle, "near").await.unwrap();
            let request = handle.neighbours().add(near, (*THERE.ip()).into());
            request
                .link_layer_address(&[2, 0, 0, 0, 0, 1])
                .replace()
                .execute()
                .await
                .unwrap();
        });
        let mut sent = first.datagrams;
        while !batch.is_empty() {
            sent += eventually("room", || {
                Some(send(&socket, &mut batch, &bytes).datagrams).filter(|&n| n > 0)
            });
        }
        assert_eq!(sent, 60);
        for number in 0..60 {
            let mut packet = [0; 2000];
            let len = io::Read::read(&mut capture, &mut packet).unwrap();
            assert_eq!(len, 28 + 100 + number);
        }
    });
}

#[test]
fn a_merged_train_is_received_as_its_datagrams() {
    isolated(|| {
        let receiver = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        let sender = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        let (mut bytes, mut ranges) = payloads(20, 1280);
        bytes.extend_from_slice(&[20; 77]);
        ranges.push(bytes.len() - 77..bytes.len());
        send(&sender, &mut batch(receiver.local(), &ranges), &bytes);
        let mut received = ReceiveBatch::new();
        eventually("the train", || receiver.receive(&mut received).ok());
        let datagrams: Vec<_> = received.datagrams().collect();
        assert_eq!(datagrams.len(), 21);
        for (datagram, range) in datagrams.iter().zip(ranges) {
            assert_eq!(datagram.from, sender.local());
            assert_eq!(datagram.to, Ipv4Addr::LOCALHOST);
            assert_eq!(&received.arena()[datagram.payload.clone()], &bytes[range]);
        }
    });
}

/// The address that a datagram was sent to is known on a socket that is bound to none; an empty datagram is one.
#[test]
fn empty_and_unmerged_datagrams_are_received_with_their_destination() {
    isolated(|| {
        let receiver = ServiceSocket::bind(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        let port = receiver.local().port();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sender
            .send_to(b"one", (Ipv4Addr::new(127, 0, 0, 1), port))
            .unwrap();
        sender
            .send_to(b"", (Ipv4Addr::new(127, 0, 0, 2), port))
            .unwrap();
        sender
            .send_to(b"three", (Ipv4Addr::new(127, 0, 0, 3), port))
            .unwrap();
        let mut received = Vec::new();
        let mut batch = ReceiveBatch::new();
        while received.len() < 3 {
            eventually("a datagram", || receiver.receive(&mut batch).ok());
            let all = batch.datagrams();
            received.extend(all.map(|d| (d.to.octets()[3], batch.arena()[d.payload].to_vec())));
        }
        assert_eq!(
            received,
            [
                (1, b"one".to_vec()),
                (2, Vec::new()),
                (3, b"three".to_vec())
            ]
        );
    });
}

/// Small datagrams lie apart in the arena, and beyond a batch there is another.
#[test]
fn a_full_batch_says_so_and_tells_sources_only() {
    isolated(|| {
        let socket = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        socket.report_sources_only().unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let count = quinn_udp::BATCH_SIZE + 1;
        for number in 0..count {
            sender.send_to(&[number as u8; 9], socket.local()).unwrap();
        }
        let mut batch = ReceiveBatch::new();
        let mut seen = Vec::new();
        for is_full in [true, false] {
            socket.receive(&mut batch).unwrap();
            assert_eq!(batch.is_full(), is_full);
            for datagram in batch.datagrams() {
                assert_eq!(
                    SocketAddr::from(datagram.from),
                    sender.local_addr().unwrap()
                );
                assert_eq!(
                    (datagram.to, datagram.ecn),
                    (Ipv4Addr::UNSPECIFIED, Ecn::NotEct)
                );
                let payload = &batch.arena()[datagram.payload];
                assert_eq!(payload, [seen.len() as u8; 9]);
                seen.push(payload[0]);
            }
        }
        assert_eq!(seen.len(), count);
        assert!(socket.receive(&mut batch).is_err() && !batch.is_full());
    });
}

#[test]
fn nothing_is_sent_to_port_0() {
    let mut batch = SendBatch::default();
    let nowhere = SocketAddrV4::new(*THERE.ip(), 0);
    assert!(!batch.push(nowhere, Arena::Packets, 0..10));
    assert!(!batch.push_from(SERVICE, nowhere, Arena::Packets, 0..10, Some(2)));
    assert!(batch.is_empty());
}

#[test]
fn a_train_ends_where_place_memory_or_length_change() {
    let trains = |pushes: &[(SocketAddrV4, Arena, Range<usize>)]| {
        let mut batch = SendBatch::default();
        pushes
            .iter()
            .for_each(|(to, arena, range)| assert!(batch.push(*to, *arena, range.clone())));
        (batch.trains(), batch.len())
    };
    let (packets, answers) = (Arena::Packets, Arena::Answers);
    assert_eq!(
        trains(&[(THERE, packets, 0..10), (THERE, packets, 10..20)]),
        (1, 2)
    );
    assert_eq!(
        trains(&[(THERE, packets, 0..10), (ELSEWHERE, packets, 10..20)]),
        (2, 2)
    );
    assert_eq!(
        trains(&[(THERE, packets, 0..10), (THERE, answers, 10..20)]),
        (2, 2)
    );
    assert_eq!(
        trains(&[(THERE, packets, 0..10), (THERE, packets, 11..21)]),
        (2, 2)
    );
    assert_eq!(
        trains(&[(THERE, packets, 0..10), (THERE, packets, 10..21)]),
        (2, 2)
    );
    // The last may be shorter, and nothing follows it.
    assert_eq!(
        trains(&[
            (THERE, packets, 0..10),
            (THERE, packets, 10..15),
            (THERE, packets, 15..20)
        ]),
        (2, 3)
    );
    // Empty datagrams stand alone.
    assert_eq!(
        trains(&[
            (THERE, packets, 0..0),
            (THERE, packets, 0..0),
            (THERE, packets, 0..5)
        ]),
        (3, 3)
    );
    // `UDP_MAX_SEGMENTS`, and the longest IPv4 packet.
    let many: Vec<_> = (0..65)
        .map(|number| (THERE, packets, number * 10..(number + 1) * 10))
        .collect();
    assert_eq!(trains(&many), (2, 65));
    let long: Vec<_> = (0..52)
        .map(|number| (THERE, packets, number * 1280..(number + 1) * 1280))
        .collect();
    assert_eq!(trains(&long), (2, 52));
}

#[test]
fn errors_of_binding_name_their_cause() {
    isolated(|| {
        let first = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        let port = first.local().port();
        let taken = ServiceSocket::bind(Ipv4Addr::LOCALHOST, port).unwrap_err();
        assert!(matches!(taken, BindError::InUse { port: named, .. } if named == port));
        let foreign = ServiceSocket::bind(HERE, 0).unwrap_err();
        assert!(matches!(
            foreign,
            BindError::AddressNotAvailable { address: HERE }
        ));

        let all = rustix::thread::capabilities(None).unwrap();
        let mut less = all;
        less.effective
            .remove(rustix::thread::CapabilitySet::NET_BIND_SERVICE);
        rustix::thread::set_capabilities(None, less).unwrap();
        let low = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 99).unwrap_err();
        assert!(matches!(low, BindError::NotPermitted { port: 99, .. }));
        rustix::thread::set_capabilities(None, all).unwrap();
    });
}

#[test]
fn the_buffers_hold_a_megabyte() {
    isolated(|| {
        let socket = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        assert!(sockopt::socket_recv_buffer_size(&socket).unwrap() >= RECEIVE_BUFFER);
        assert!(sockopt::socket_send_buffer_size(&socket).unwrap() >= SEND_BUFFER);
    });
}

/// A route that refuses the trains to one peer slows no other peer, and not even that one for longer than it is there
/// and a moment more.
#[test]
fn a_refusal_concerns_one_peer_and_ends() {
    isolated(|| {
        let tun = link(1500);
        let socket = ServiceSocket::bind(Ipv4Addr::UNSPECIFIED, 5000).unwrap();
        // One by one, these take two calls.
        let (bytes, ranges) = payloads(40, 1000);
        let ip = |action: &str| {
            let status = std::process::Command::new("ip")
                .args(["route", action, "blackhole", "192.0.2.3/32"])
                .status()
                .unwrap();
            assert!(status.success());
        };
        ip("add");
        let mut outgoing = SendBatch::default();
        let mut send_to = |to| {
            for range in &ranges {
                assert!(outgoing.push(to, Arena::Packets, range.clone()));
            }
            send(&socket, &mut outgoing, &bytes)
        };
        let refused = send_to(ELSEWHERE);
        assert_eq!((refused.datagrams, refused.refused), (0, 40));
        let other = send_to(THERE);
        assert_eq!((other.datagrams, other.calls), (40, 1), "as a train");
        // For a while that peer's datagrams go one by one, so that no call is wasted.
        let again = send_to(ELSEWHERE);
        assert_eq!((again.refused, again.calls), (40, 40));
        ip("delete");
        eventually("trains to the peer again", || {
            let sent = send_to(ELSEWHERE);
            assert_eq!(sent.datagrams, 40);
            (sent.calls == 1).then_some(())
        });
        drop(tun);
    });
}

/// RFC 6081 §5.4.4.3: datagrams from several ports keep their order, and each leaves from its port; a train is of one port.
/// Those from a port that is gone are left out.
#[test]
fn datagrams_leave_from_their_port_in_order() {
    isolated(|| {
        let tun = link(1500);
        let service = ServiceSocket::bind(HERE, 5000).unwrap();
        let random = ServiceSocket::bind(HERE, 50_000).unwrap();
        let (bytes, ranges) = payloads(8, 300);
        let mut batch = SendBatch::default();
        let ports = [
            SERVICE, SERVICE, 50_000, 50_000, 50_001, 50_001, SERVICE, 50_000,
        ];
        for ((number, range), port) in ranges.into_iter().enumerate().zip(ports) {
            let ttl = (number == 7).then_some(2);
            assert!(batch.push_from(port, THERE, Arena::Packets, range, ttl));
        }
        assert_eq!((batch.trains(), batch.len()), (5, 8));
        let mut left = 0;
        while let Some(port) = batch.next_from() {
            let sent = match port {
                SERVICE => send(&service, &mut batch, &bytes),
                50_000 => send(&random, &mut batch, &bytes),
                _ => {
                    assert_eq!(batch.skip(), 2);
                    continue;
                }
            };
            assert_eq!((sent.calls, sent.refused), (1, 0));
            left += sent.datagrams;
        }
        assert_eq!(left, 6);
        let expected = [
            (0, 5000),
            (1, 5000),
            (2, 50_000),
            (3, 50_000),
            (6, 5000),
            (7, 50_000),
        ];
        for (packet, (number, port)) in read(&tun, 6).iter().zip(expected) {
            assert_eq!(packet[20..22], u16::to_be_bytes(port));
            assert_eq!(packet[8] == 2, number == 7);
            assert_eq!(&packet[28..], [number; 300]);
        }
    });
}
