use super::*;

fn packet(next_header: u8, kind: u8) -> Vec<u8> {
    let mut packet = vec![0; 41];
    packet[0] = 0x60;
    packet[6] = next_header;
    packet[23] = 1;
    packet[39] = 2;
    packet[40] = kind;
    packet
}

fn summary(bytes: &[u8]) -> String {
    Summary(bytes).to_string()
}

#[test]
fn kinds_are_told_apart() {
    assert_eq!(summary(&packet(59, 0)), "bubble ::1 > ::2");
    assert_eq!(summary(&packet(58, 133)), "router solicitation ::1 > ::2");
    assert_eq!(summary(&packet(58, 129)), "echo reply ::1 > ::2");
    assert_eq!(summary(&packet(17, 0)), "UDP ::1 > ::2");
}

/// R4380-5.1.1-02, R4380-5.1.1-03: the elements stand before the packet, the origin of 1.2.3.4:337 as RFC 4380
/// prints it.
#[test]
fn elements_are_read() {
    let mut bytes = vec![0, 1, 2, 0, b'i', b'd', 1, 2, 3, 4, 5, 6, 7, 8, 0];
    bytes.extend([0x00, 0x00, 0xfe, 0xae, 0xfe, 0xfd, 0xfc, 0xfb]);
    bytes.extend(packet(59, 0));
    assert_eq!(
        summary(&bytes),
        "authentication, origin 1.2.3.4:337, bubble ::1 > ::2"
    );
}

#[test]
fn garbage_is_named() {
    assert_eq!(summary(b""), "not IPv6");
    assert_eq!(summary(&[0, 1, 255, 255]), "malformed authentication");
    assert_eq!(summary(&[0x45; 60]), "not IPv6");
}
