use super::*;

fn said(path: &str, error: CaptureError) -> String {
    let mut out = Vec::new();
    refused(Path::new(path), error).report(anstream::StripStream::new(&mut out));
    String::from_utf8(out).expect("text")
}

#[test]
fn each_refusal_names_the_next_step() {
    let text = said("a.pcap", CaptureError::NotACapture);
    assert_eq!(
        text,
        "teredo: a.pcap is no capture file: the file begins neither like pcap nor like pcapng\n\
         hint: 'tcpdump -w FILE udp' makes one, and Wireshark saves one as pcap or pcapng\n"
    );
    let text = said("-", CaptureError::Compressed("gzip"));
    assert_eq!(
        text,
        "teredo: standard input is no capture file: the file is compressed with gzip\nhint: decompress it first\n"
    );
    assert!(said("a", CaptureError::Empty).contains("tcpdump -U"));
}

#[test]
fn a_capture_without_teredo_says_so() {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&[255, 255, 0, 0, 101, 0, 0, 0]);
    let trace = trace_file(&file, Limits::default()).expect("a capture");
    let text = anstream::adapter::strip_str(&report::Report(&trace).to_string()).to_string();
    assert_eq!(text, "● 0 Teredo packets  no Teredo    no other frame");
}

/// A name must not drive the terminal.
#[test]
fn a_file_name_is_plain() {
    let text = said("\x1b[2Ja.pcap", CaptureError::NotACapture);
    assert!(
        text.starts_with("teredo: ?[2Ja.pcap is no capture"),
        "{text:?}"
    );
}

#[test]
fn what_was_not_read_is_said() {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&[255, 255, 0, 0, 127, 0, 0, 0]);
    file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]);
    let trace = trace_file(&file, Limits::default()).expect("a capture");
    let text = anstream::adapter::strip_str(&report::Report(&trace).to_string()).to_string();
    assert_eq!(
        text,
        "● 0 Teredo packets  no Teredo    no other frame\n  1 frame of link type 127 cannot be read"
    );
}

/// R6081-4.2-01: the heading names a warning, although no requirement is broken.
#[test]
fn the_heading_names_the_warnings() {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address");
    let mut bubble = Vec::new();
    teredo::wire::emit_bubble(
        address("2001:0:c000:22d:4a8:1c62:39cc:9bfe"),
        address("2001:0:c000:22d:1c5a:5411:34ff:8efe"),
        255,
        &mut bubble,
    );
    // A nonce of one byte.
    bubble.extend([1, 1, 0]);
    let mut tracer = teredo_trace::Tracer::new(Limits::default());
    tracer.observe(&teredo_trace::Observation {
        frame: 1,
        time: std::time::Duration::ZERO,
        source: "198.51.100.1:58269".parse().expect("an end"),
        destination: "203.0.113.1:44014".parse().expect("an end"),
        public_source: None,
        inner_destination: None,
        ttl: 64,
        payload: &bubble,
        cut: false,
        fate: None,
    });
    let report = report::Report(&tracer.finish()).to_string();
    let text = anstream::adapter::strip_str(&report).to_string();
    assert!(
        text.starts_with("● 1 Teredo packet  no requirement is broken, 1 warning (R6081-4.2-01)  "),
        "{text}"
    );
}
