use crate::capture::Frames;
use crate::sample::{LOCAL, NONCE, PRIMARY, ipv4, pcap, pcapng, solicitation};
use crate::trace::{Limits, trace_file};

use super::*;

fn packet() -> Vec<u8> {
    ipv4(LOCAL, PRIMARY, &solicitation(Some(NONCE), false))
}

fn behind(header: &[u8]) -> Vec<u8> {
    [header, &packet()].concat()
}

/// The headers that may stand before the IPv4 packet, with their link types.
fn frames() -> Vec<(&'static str, u32, Vec<u8>)> {
    let addresses = [2_u8; 12];
    let ethernet = |tags: &[u8]| behind(&[&addresses[..], tags, &[8, 0]].concat());
    vec![
        ("Ethernet", 1, ethernet(&[])),
        ("VLAN", 1, ethernet(&[0x81, 0, 0, 5])),
        ("two VLANs", 1, ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 5])),
        ("raw IP", 101, packet()),
        ("raw IP of Linux", 12, packet()),
        (
            "cooked",
            113,
            behind(&[0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]),
        ),
        (
            "cooked, no protocol",
            113,
            behind(&[0, 4, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        // Without a link layer, as a TUN interface.
        (
            "cooked, no layer",
            113,
            behind(&[0, 4, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        ),
        (
            "cooked, VLAN",
            113,
            behind(&[
                0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 0x81, 0, 0, 5, 8, 0,
            ]),
        ),
        (
            "cooked 2",
            276,
            behind(&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 2, 2, 2, 2, 2, 0, 0]),
        ),
        ("loopback", 0, behind(&[2, 0, 0, 0])),
        (
            "PPPoE",
            1,
            ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 2, 0, 0x21])[..22]
                .iter()
                .copied()
                .chain(packet())
                .collect(),
        ),
        (
            "cooked, PPPoE",
            113,
            behind(&[
                0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 0x88, 0x64, 0x11, 0, 0, 1, 0, 2, 0, 0x21,
            ]),
        ),
    ]
}

#[test]
fn every_link_layer_leads_to_the_datagram() {
    for (name, link, frame) in frames() {
        let number = u16::try_from(link).unwrap();
        for file in [
            pcap(link, std::slice::from_ref(&frame)),
            pcapng(number, 6, std::slice::from_ref(&frame)),
        ] {
            let trace = trace_file(&file, Limits::default()).unwrap();
            assert_eq!(trace.packets.len(), 1, "{name}");
            assert_eq!(trace.packets[0].kind.name(), "solicitation", "{name}");
            assert_eq!(trace.packets[0].from.to_string(), LOCAL, "{name}");
            let time = trace.packets[0].time.as_deref();
            assert_eq!(time, Some("2001-09-09T01:46:40.250000Z"), "{name}");
        }
    }
}

#[test]
fn what_is_not_udp_over_ipv4_is_counted() {
    let mut fragment = packet();
    fragment[6] = 0x20;
    let mut later = packet();
    later[7] = 1;
    let mut tcp = packet();
    tcp[9] = 6;
    let mut six = packet();
    six[0] = 0x65;
    let file = pcap(101, &[fragment, later, tcp, six, vec![], packet()]);
    let trace = trace_file(&file, Limits::default()).unwrap();
    assert_eq!((trace.fragments, trace.not_teredo), (2, 3));
    assert_eq!((trace.frames, trace.packets[0].frame), (6, 6));
}

/// Nobody knows what is in them: they are not called something else.
#[test]
fn frames_that_nobody_can_read_are_counted_apart() {
    let mpls = behind(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x88, 0x47, 0, 1, 1, 64]);
    for (link, frame, layer) in [
        (127, packet(), Layer::LinkType(127)),
        (9, packet(), Layer::LinkType(9)),
        (1, mpls, Layer::EtherType(0x8847)),
    ] {
        let file = pcap(link, &[frame.clone(), frame]);
        let trace = trace_file(&file, Limits::default()).unwrap();
        let unreadable: Vec<_> = (trace.unreadable.iter())
            .map(|one| (one.layer, one.frames))
            .collect();
        assert_eq!(unreadable, [(layer, 2)]);
        assert_eq!(trace.not_teredo, 0);
    }
    let mut file = pcap(1, &[]);
    file.extend_from_slice(&pcap(1, &[packet()])[24..]);
    file[20] = 147;
    let trace = trace_file(&file, Limits::default()).unwrap();
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(
        json["unreadable"],
        serde_json::json!([{"link_type": 147, "frames": 1}])
    );
}

/// `tcpdump -s 100` of a datagram of 64 KiB: no more than a Teredo packet has is filled up.
#[test]
fn a_payload_that_was_cut_is_filled_up_only_so_far() {
    let mut claims = packet()[..84].to_vec();
    claims[2..4].copy_from_slice(&65_000_u16.to_be_bytes());
    claims[24..26].copy_from_slice(&64_980_u16.to_be_bytes());
    let mut file = pcap(101, &[claims]);
    file[36..40].copy_from_slice(&65_000_u32.to_le_bytes());
    let frame = Frames::new(&file).unwrap().next().unwrap();
    let Outer::Udp(udp) = Outer::of(&frame) else {
        panic!("UDP");
    };
    assert_eq!(
        (udp.payload.len(), udp.length, udp.cut),
        (PADDED, 64_972, true)
    );
    let trace = trace_file(&file, Limits::default()).unwrap();
    assert_eq!(trace.packets[0].length, 64_972);
    assert_eq!(trace.packets[0].findings, []);
}

/// `tcpdump -s 84` keeps the headers alone.
#[test]
fn a_frame_that_was_cut_is_read_as_far_as_it_goes() {
    let mut file = pcap(101, &[packet()[..84].to_vec()]);
    let whole = u32::try_from(packet().len()).unwrap();
    file[36..40].copy_from_slice(&whole.to_le_bytes());
    let trace = trace_file(&file, Limits::default()).unwrap();
    assert_eq!(trace.packets[0].kind.name(), "solicitation");
    assert!(trace.packets[0].cut);
    assert_eq!(trace.packets[0].findings, [], "its checksum proves nothing");
}

#[test]
fn a_datagram_that_claims_more_than_it_has_is_counted() {
    let mut liar = packet();
    liar[25] += 10;
    let trace = trace_file(&pcap(101, &[liar]), Limits::default()).unwrap();
    assert_eq!((trace.packets.len(), trace.not_teredo), (0, 1));
}

/// Short frames are padded to 60 bytes on Ethernet.
#[test]
fn padding_is_no_payload() {
    let mut frame = behind(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 8, 0]);
    frame.extend_from_slice(&[0; 20]);
    let file = pcap(1, &[frame]);
    let frame = Frames::new(&file).unwrap().next().unwrap();
    let Outer::Udp(udp) = Outer::of(&frame) else {
        panic!("UDP");
    };
    assert_eq!(udp.payload.len(), 61);
    assert_eq!((udp.ttl, udp.cut), (64, false));
}
