use std::net::{SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Capture, Frame, KEPT_FRAMES, Kept};
use crate::namespace::Namespace;
use crate::pcap::LinkType;
use crate::wait::until;

const SECOND: Duration = Duration::from_secs(1);

fn raw(data: Vec<u8>) -> Frame {
    Frame {
        time: SystemTime::UNIX_EPOCH,
        link_type: LinkType::RawIp,
        data,
    }
}

#[test]
fn sees_what_travels_and_writes_what_tshark_reads() {
    let namespace = Namespace::new().unwrap();
    let capture = Capture::start(&namespace, "lo").unwrap();
    let socket = namespace
        .run(|| UdpSocket::bind("127.0.0.1:3544"))
        .unwrap()
        .unwrap();
    socket.send_to(b"teredo", "127.0.0.1:4000").unwrap();
    let frame = capture
        .wait_for(SECOND, "the datagram", |frame| {
            frame.udp().is_some_and(|udp| udp.payload == b"teredo")
        })
        .unwrap();
    let udp = frame.udp().unwrap();
    assert_eq!(udp.from, "127.0.0.1:3544".parse::<SocketAddrV4>().unwrap());
    assert_eq!(udp.to, "127.0.0.1:4000".parse::<SocketAddrV4>().unwrap());
    assert!(frame.time.elapsed().unwrap() < 60 * SECOND);

    let file = tempfile::NamedTempFile::new().unwrap();
    capture.save(file.path()).unwrap();
    let output = Command::new("tshark")
        .args([
            "-T",
            "fields",
            "-e",
            "ip.src",
            "-e",
            "udp.srcport",
            "-e",
            "udp.dstport",
        ])
        .args(["-e", "udp.payload", "-Y", "udp && !icmp", "-r"])
        .arg(file.path())
        .output()
        .expect("tshark runs: install the package tshark");
    let text = String::from_utf8(output.stdout).unwrap();
    let payload = "74657265646f";
    // The loopback shows every packet twice, as it leaves and as it arrives.
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.is_empty());
    for line in text.lines() {
        assert_eq!(line, format!("127.0.0.1\t3544\t4000\t{payload}"));
    }
    // Seconds and nanoseconds in the right fields.
    let output = Command::new("tshark")
        .args(["-T", "fields", "-e", "frame.time_epoch", "-r"])
        .arg(file.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first: f64 = text.lines().next().unwrap().parse().unwrap();
    let expected = capture.frames()[0]
        .time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!((first - expected.as_secs_f64()).abs() < 1e-3, "{text}");
}

/// A program that has received a datagram finds it in the capture, however late the thread is.
#[test]
fn knows_all_that_was_seen_before() {
    let namespace = Namespace::new().unwrap();
    let capture = Capture::start(&namespace, "lo").unwrap();
    let bind = || UdpSocket::bind("127.0.0.1:3544");
    let socket = namespace.run(bind).unwrap().unwrap();
    for n in 0..1000_u32 {
        socket.send_to(&n.to_be_bytes(), "127.0.0.1:3544").unwrap();
        let frames = capture.frames();
        let last = frames.last().and_then(Frame::udp).unwrap();
        assert_eq!(last.payload, n.to_be_bytes());
    }
}

#[test]
fn ignores_other_interfaces() {
    let namespace = Namespace::new().unwrap();
    let error = Capture::start(&namespace, "eth0").unwrap_err();
    assert_eq!(error.to_string(), "there is no interface eth0");

    let internet = crate::Internet::new().unwrap();
    let host = internet
        .host("host", &["192.0.2.1".parse().unwrap()])
        .unwrap();
    let capture = Capture::start(host.namespace(), "eth0").unwrap();
    for (from, to) in [
        ("127.0.0.1:0", "127.0.0.1:9"),
        ("192.0.2.1:0", "198.51.100.1:9"),
    ] {
        let from: std::net::SocketAddr = from.parse().unwrap();
        host.udp_socket(from).unwrap().send_to(b"x", to).unwrap();
    }
    capture
        .wait_for(SECOND, "the datagram", |frame| frame.udp().is_some())
        .unwrap();
    let frames = capture.frames();
    let udp = frames.iter().filter_map(Frame::udp);
    assert!(
        udp.clone().all(|udp| udp.from.ip().octets()[0] == 192),
        "{frames:?}"
    );
}

#[test]
fn memory_is_bounded() {
    let mut kept = Kept::default();
    for n in 0..KEPT_FRAMES + 1 {
        kept.push(raw(n.to_be_bytes().to_vec()));
    }
    assert_eq!(kept.frames.len(), KEPT_FRAMES);
    assert_eq!(kept.frames[0].data, 1_usize.to_be_bytes());
    assert_eq!(kept.bytes, KEPT_FRAMES * size_of::<usize>());
    let mut kept = Kept::default();
    for _ in 0..3 {
        kept.push(raw(vec![0; super::KEPT_BYTES / 2]));
    }
    assert_eq!((kept.frames.len(), kept.bytes), (2, super::KEPT_BYTES));
}

#[test]
fn any_bytes_are_a_frame() {
    let mut packet = vec![
        0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, //
        0x0d, 0xd8, 0, 9, 0, 10, 0, 0, b'h', b'i',
    ];
    assert_eq!(raw(packet.clone()).udp().unwrap().payload, b"hi");
    for length in 0..packet.len() {
        assert_eq!(raw(packet[..length].to_vec()).udp(), None, "{length}");
    }
    packet.push(0);
    assert_eq!(
        raw(packet.clone()).udp().unwrap().payload,
        b"hi",
        "padding does not count"
    );
    for (at, value) in [
        (0, 0x65),
        (0, 0x41),
        (6, 0x20),
        (7, 1),
        (9, 6),
        (24, 1),
        (25, 7),
    ] {
        let mut broken = packet.clone();
        broken[at] = value;
        assert_eq!(raw(broken).udp(), None, "{at}: {value:#x}");
    }
}

#[test]
fn a_frame_has_the_time_of_the_kernel_not_of_the_reader() {
    let namespace = Namespace::new().unwrap();
    let capture = Capture::start(&namespace, "lo").unwrap();
    let socket = namespace
        .run(|| UdpSocket::bind("127.0.0.1:3544"))
        .unwrap()
        .unwrap();
    // The kernel begins to note the time a moment after it was asked to.
    until(SECOND * 5, "a frame with the kernel's time", || {
        let kept = capture.shared.kept.lock().unwrap();
        let sent = SystemTime::now();
        for _ in 0..2 {
            socket.send_to(b"teredo", "127.0.0.1:4000").unwrap();
        }
        let after = SystemTime::now();
        let before = kept.frames.len();
        drop(kept);
        // Two datagrams, twice each. The reader had to wait with all of them.
        let all = until(SECOND, "the frames", || {
            let frames = capture.frames();
            let udp = frames[before..]
                .iter()
                .filter(|frame| frame.udp().is_some());
            let times: Vec<_> = udp.map(|frame| frame.time).collect();
            (times.len() >= 4).then_some(times)
        });
        all.ok()?
            .iter()
            .all(|time| (sent..=after).contains(time))
            .then_some(())
    })
    .unwrap();
}
