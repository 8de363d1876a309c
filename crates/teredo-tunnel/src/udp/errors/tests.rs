use std::net::UdpSocket;

use teredo_lab::Receive;

use super::*;
use crate::Tun;
use crate::netns::{add_address, eventually, isolated, netlink, set_up};
use crate::udp::{Arena, Arenas, ReceiveBatch, SERVICE, SendBatch};

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4096);
const ROUTER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const BUBBLE: &[u8] = b"sixty bytes or more";

/// A port that nobody listens on.
fn closed_port() -> SocketAddrV4 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port())
}

fn send(socket: &ServiceSocket, to: SocketAddrV4, payload: &[u8], ttl: Option<u8>) -> u64 {
    let mut batch = SendBatch::default();
    let pushed = batch.push_from(SERVICE, to, Arena::Packets, 0..payload.len(), ttl);
    assert!(pushed);
    let arenas = Arenas {
        packets: payload,
        answers: &[],
    };
    let sent = socket.send(&mut batch, arenas);
    assert!(sent.error.is_none(), "{:?}", sent.error);
    sent.datagrams
}

fn next(socket: &ServiceSocket) -> Entry {
    eventually("an error", || socket.next_error().unwrap())
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(folded as u16 + (folded >> 16) as u16)).to_be_bytes()
}

/// The ICMP error of `router` about an IPv4 packet, of which it quotes so many bytes.
fn icmp(router: Ipv4Addr, (kind, code): (u8, u8), packet: &[u8], quoted: usize) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&packet[..quoted]);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let len = (20 + message.len()) as u16;
    let mut datagram = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
    datagram[2..4].copy_from_slice(&len.to_be_bytes());
    datagram.extend_from_slice(&router.octets());
    datagram.extend_from_slice(&packet[12..16]);
    let sum = checksum(&datagram);
    datagram[10..12].copy_from_slice(&sum);
    datagram.extend(message);
    datagram
}

/// A socket on a link whose far end the test plays, and the packet with [`BUBBLE`] that has left from it.
fn bubble_on_a_link() -> (Tun, ServiceSocket, Vec<u8>) {
    let tun = Tun::open(Some("link")).unwrap();
    netlink(async |handle| {
        add_address(&handle, "link", HERE, 24).await;
        set_up(&handle, "link").await;
    });
    let socket = ServiceSocket::bind(HERE, 0).unwrap();
    socket.report_errors().unwrap();
    send(&socket, THERE, BUBBLE, Some(2));
    let mut batch = crate::tun::PacketBatch::new();
    let packet = eventually("the bubble", || {
        tun.read_batch(&mut batch).ok()?;
        let mut packets = batch
            .runs()
            .flatten()
            .map(|range| batch.arena()[range.clone()].to_vec());
        packets.find(|packet| packet.ends_with(BUBBLE))
    });
    assert_eq!(packet[8], 2, "the time to live");
    (tun, socket, packet)
}

/// A router says that a bubble has expired: who, about which destination, and as much of the bubble as it quotes.
#[test]
fn time_exceeded_names_the_router_and_quotes_the_bubble() {
    isolated(|| {
        let (tun, socket, packet) = bubble_on_a_link();
        for (what, kind) in [
            ((11, 0), IcmpErrorKind::TimeExceeded),
            ((3, 1), IcmpErrorKind::Other),
            ((3, 3), IcmpErrorKind::Other),
        ] {
            // RFC 792 has a router quote eight bytes behind the header, RFC 1812 as much as possible.
            for quoted in [28, packet.len()] {
                tun.write(&icmp(ROUTER, what, &packet, quoted)).unwrap();
                let Entry::Icmp(received) = next(&socket) else {
                    panic!("no ICMP error");
                };
                let expected = IcmpError {
                    kind,
                    reporter: ROUTER,
                    destination: THERE,
                    quoted: &BUBBLE[..quoted - 28],
                };
                assert_eq!(received.error(), expected);
            }
        }
        assert_eq!(socket.next_error().unwrap(), None);
    });
}

/// Errors about other sockets' datagrams do not come to this one.
#[test]
fn an_error_about_another_port_is_not_ours() {
    isolated(|| {
        let (tun, socket, mut packet) = bubble_on_a_link();
        packet[20] ^= 1;
        tun.write(&icmp(ROUTER, (11, 0), &packet, 28)).unwrap();
        packet[20] ^= 1;
        tun.write(&icmp(ROUTER, (3, 3), &packet, 28)).unwrap();
        let Entry::Icmp(received) = next(&socket) else {
            panic!("no ICMP error");
        };
        assert_eq!(received.error().kind, IcmpErrorKind::Other);
        assert_eq!(socket.next_error().unwrap(), None);
    });
}

/// The kernel lets the next call fail with an error that waits. Nothing is lost for it, and nothing counts as refused.
#[test]
fn errors_that_wait_stop_neither_sending_nor_receiving() {
    isolated(|| {
        let socket = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        socket.report_errors().unwrap();
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, peer.local_addr().unwrap().port());
        let closed = closed_port();
        let mut batch = ReceiveBatch::new();
        for number in 0..100_u8 {
            let ttl = (number % 2 == 0).then_some(9);
            send(&socket, closed, b"nobody", ttl);
            send(&socket, to, &[number], ttl);
            let mut received = [0; 8];
            assert_eq!(peer.receive(&mut received).unwrap(), 1);
            assert_eq!(received[0], number);
            send(&socket, closed, b"nobody", None);
            peer.send_to(&[number], socket.local()).unwrap();
            eventually("the answer", || match socket.receive(&mut batch) {
                Ok(()) => Some(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => panic!("{error}"),
            });
        }
        let mut errors = 0;
        while let Some(entry) = socket.next_error().unwrap() {
            assert!(
                matches!(entry, Entry::Icmp(received) if received.error().destination == closed)
            );
            errors += 1;
        }
        assert_eq!(errors, 200);
        assert!(
            !socket.has_errors(),
            "nothing is left that would wake the lane"
        );
    });
}

/// A refusal of the kernel's own is still one.
#[test]
fn a_missing_route_is_reported() {
    isolated(|| {
        let socket = ServiceSocket::bind(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        socket.report_errors().unwrap();
        let mut batch = SendBatch::default();
        assert!(batch.push(THERE, Arena::Packets, 0..4));
        let arenas = Arenas {
            packets: b"lost",
            answers: &[],
        };
        let sent = socket.send(&mut batch, arenas);
        assert_eq!((sent.datagrams, sent.refused), (0, 1));
        let errno = sent.error.as_ref().and_then(Errno::from_io_error);
        assert_eq!(errno, Some(Errno::NETUNREACH));
    });
}
