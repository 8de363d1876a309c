//! `teredo trace`: a capture of the simulator as text, picture and JSON.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use teredo::ServerAddress;
use teredo_sim::{NatBehaviour, Vantage, World};

use crate::program::{end, run, teredo};

/// A client behind a symmetric NAT, which no service is for (RFC 4380 §5.2.1).
fn capture() -> Vec<u8> {
    let mut world = World::new(3);
    let server = ServerAddress::adjacent([192, 0, 2, 1].into());
    world.add_server(server);
    let home = world.add_nat(NatBehaviour::symmetric(), [203, 0, 113, 5]);
    let local = "192.168.1.2:50000".parse().expect("an endpoint");
    world.add_client(home, local, &[server]);
    world.run_for(Duration::from_secs(2));
    world.capture().to_pcap(Vantage::Sender)
}

#[test]
fn text_picture_and_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, picture) = (folder.path().join("a.pcap"), folder.path().join("a.svg"));
    fs::write(&file, capture()).expect("a file");
    let (file, picture) = (
        file.to_str().expect("text"),
        picture.to_str().expect("text"),
    );

    let text = run(&["trace", file, "--svg", picture]);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(!text.stdout.contains('\x1b'), "no colours in a pipe");
    for part in [
        "● 4 Teredo packets  no requirement is broken    no other frame",
        "client 1    192.168.1.2:50000",
        "symmetric NAT",
        "192.0.2.1, 192.0.2.2",
        "192.0.2.1 sees 203.0.113.5:",
        "solicitation",
        "advertisement: you are 203.0.113.5:",
    ] {
        assert!(text.stdout.contains(part), "{part}:\n{}", text.stdout);
    }
    let svg = fs::read_to_string(picture).expect("a picture");
    assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n"));

    let json = run(&["trace", file, "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["schema"], "teredo.trace/1");
    assert_eq!(json["packets"][0]["n"], 1);
    assert_eq!(json["packets"][0]["kind"], "solicitation");
    assert_eq!(json["packets"][0]["from"], "192.168.1.2:50000");
    assert_eq!(json["packets"][0]["to"], "192.0.2.1:3544");
    assert_eq!(json["nodes"][0]["nat"]["kind"], "symmetric");

    let svg = run(&["trace", file, "--svg", "-"]);
    assert!(svg.stdout.starts_with("<?xml"));
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = teredo(&["trace", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, &capture()).expect("it reads");
    drop(input);
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("\"schema\":\"teredo.trace/1\""));
}

/// `tcpdump -U -w - udp | teredo trace -` ends with Ctrl-C, which reaches both. The other end stays open here.
#[test]
fn an_interrupt_ends_the_input_and_not_the_trace() {
    let mut child = teredo(&["trace", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    // More than a pipe holds: once all is written, the program reads, so it has its handler.
    let mut file = capture();
    for _ in 0..2000 {
        file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0]);
        file.extend_from_slice(&[0; 64]);
    }
    std::io::Write::write_all(&mut input, &file).expect("it reads");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("● 4 Teredo packets"),
        "{}",
        ended.stdout
    );
    drop(input);
}

/// `teredo trace <(zcat exchange.pcap.gz)`, and a FIFO that was made for it.
#[test]
fn a_pipe_with_a_name_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .expect("a pipe");
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, capture()).expect("it reads")
    });
    let ended = run(&["trace", pipe.to_str().expect("text")]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("● 4 Teredo packets"));
    writer.join().expect("it has written");
}

#[test]
fn the_picture_does_not_replace_the_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (folder.path().join("a.pcap"), folder.path().join("a.svg"));
    fs::write(&file, capture()).expect("a file");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    for out in [&file, &link] {
        let ended = run(&[
            "trace",
            file.to_str().expect("text"),
            "--svg",
            out.to_str().expect("text"),
        ]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        assert!(
            ended.stderr.contains("is the capture itself"),
            "{}",
            ended.stderr
        );
        assert_eq!(fs::read(&file).expect("a file"), capture());
    }
}

#[test]
fn what_is_no_capture_is_refused_with_a_hint() {
    for file in ["/etc/passwd", "/dev/null", "/does/not/exist", "/"] {
        let ended = run(&["trace", file]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{file}");
        assert!(ended.stderr.starts_with("teredo: "), "{}", ended.stderr);
    }
    let ended = run(&["trace", "/etc/passwd"]);
    assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    assert_eq!(run(&["trace"]).code, 2);
}
