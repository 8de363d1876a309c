//! The programs of a server at an interface: how they run, and that they go with their owner. Answers on real packets are
//! tested with the server (`teredo-tunnel`).

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use teredo_bpf::{Mode, PathError, Server};
use teredo_lab::{Host, Internet, until};

use crate::node::PATIENCE;

/// Set for the process that is to be killed.
const HOLD: &str = "TEREDO_BPF_HOLD_SERVER";

fn host() -> (Internet, Host) {
    let internet = Internet::new().unwrap();
    let address = Ipv4Addr::new(192, 0, 2, 45);
    let host = internet.host("server", &[address]).unwrap();
    (internet, host)
}

fn attach(host: &Host, native: bool) -> Result<(Server, Mode), PathError> {
    let attach = || {
        let mut server = Server::load().unwrap();
        let attached = server.attach("eth0", native)?;
        Ok((server, attached.mode))
    };
    host.namespace().run(attach).unwrap()
}

/// The link carries frames of programs if the other end polls.
#[test]
fn a_driver_that_cannot_send_is_left_out() {
    let (internet, host) = host();
    let mode = |native| attach(&host, native).unwrap().1;
    internet
        .core()
        .set_large_frames("to-server", false)
        .unwrap();
    assert_eq!(mode(true), Mode::Generic);
    internet.core().set_large_frames("to-server", true).unwrap();
    assert_eq!(mode(true), Mode::Native);
    assert_eq!(mode(false), Mode::Generic);
}

/// An administrator's program stays.
#[test]
fn an_interface_with_another_program_is_refused() {
    let (_internet, host) = host();
    let first = attach(&host, false).unwrap();
    let error = attach(&host, false).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "another XDP program is attached to eth0");
    drop(first);
    attach(&host, false).unwrap();
}

/// The administrator's program may go.
#[test]
fn an_interface_that_was_refused_can_be_tried_again() {
    let (_internet, host) = host();
    let first = attach(&host, false).unwrap();
    let mut second = Server::load().unwrap();
    let mut again = || {
        let attach = || second.attach("eth0", false).map(|attached| attached.mode);
        host.namespace().run(attach).unwrap()
    };
    again().unwrap_err();
    drop(first);
    assert_eq!(again().unwrap(), Mode::Generic);
}

#[test]
fn a_renamed_interface_can_be_attached_to() {
    let (_internet, host) = host();
    let mut server = Server::load().unwrap();
    let mut attach = |name: &str| {
        let attach = || server.attach(name, false).map(|attached| attached.index);
        host.namespace().run(attach).unwrap()
    };
    let index = attach("eth0").unwrap();
    for arguments in [
        "link set eth0 down",
        "link set eth0 name wan0",
        "link set wan0 up",
    ] {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        let status = host.namespace().spawn(&mut command).unwrap().wait();
        assert!(status.unwrap().success(), "{arguments}");
    }
    assert_eq!(attach("wan0").unwrap(), index);
}

/// Nothing of a killed process stays.
#[test]
fn a_killed_process_leaves_nothing() {
    let (_internet, host) = host();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "server::holds_an_interface", "--nocapture"])
        .env(HOLD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = host.namespace().spawn(&mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holds")));
    attach(&host, false).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    until(PATIENCE, "the end of the programs", || {
        attach(&host, false).ok()
    })
    .unwrap();
}

/// The process that the test before kills; by itself it does nothing.
#[test]
fn holds_an_interface() {
    let Some(_) = std::env::var_os(HOLD) else {
        return;
    };
    let mut server = Server::load().unwrap();
    server.attach("eth0", false).unwrap();
    println!("holds");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn the_loopback_is_refused() {
    let (_internet, host) = host();
    let attach = || Server::load().unwrap().attach("lo", true).unwrap_err();
    let error = host.namespace().run(attach).unwrap();
    assert!(
        matches!(&error, PathError::Kind { name, .. } if name == "lo"),
        "{error}"
    );
}
