//! `teredo server` on a private internet. Needs root for the network namespaces.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;

use teredo_lab::{Host, Internet, Process, Receive};

use crate::program::{DEADLINE, run, teredo};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn host() -> (Internet, Host) {
    let internet = Internet::new().expect("network namespaces, which take root");
    let host = internet
        .host("server", &[PRIMARY, SECONDARY])
        .expect("a host");
    (internet, host)
}

fn server(host: &Host, arguments: &[&str]) -> Process {
    let mut command = teredo(&["server"]);
    Process::spawn(host.namespace(), "server", command.args(arguments)).expect("the program starts")
}

/// R4380-5.3-01: port 3544 on two addresses, the second of which follows the first.
#[test]
fn a_server_serves_until_it_is_told_to_end() {
    let (_internet, host) = host();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout");

    let mut command = teredo(&["server", "--address", "192.0.2.1"]);
    let server = Process::spawn(
        host.namespace(),
        "server",
        command.env("NOTIFY_SOCKET", &path),
    )
    .expect("starts");
    server
        .wait_for_line(
            "teredo: serving on 192.0.2.1 and 192.0.2.2, UDP port 3544",
            DEADLINE,
        )
        .expect("a line");
    let mut message = [0; 64];
    let length = manager
        .receive(&mut message)
        .expect("the service manager is told");
    assert_eq!(message[..length].trim_ascii_end(), b"READY=1");

    for address in [PRIMARY, SECONDARY] {
        assert!(
            host.udp_socket((address, 3544)).is_err(),
            "{address} is served"
        );
    }
    let status = server.terminate(DEADLINE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{:?}", server.lines());
    let said = server.lines().join("\n");
    assert!(
        said.contains("teredo: served 0 solicitations") && said.contains("dropped none"),
        "{said}"
    );
    assert!(
        host.udp_socket((PRIMARY, 3544)).is_ok(),
        "the port is free again"
    );
}

#[test]
fn a_server_prints_its_counters() {
    let (internet, host) = host();
    let server = server(&host, &["--address", "192.0.2.1"]);
    server
        .wait_for_line("serving on", DEADLINE)
        .expect("a line");
    let client = internet
        .host("client", &[Ipv4Addr::new(198, 51, 100, 1)])
        .expect("a host");
    let socket = client
        .udp_socket((Ipv4Addr::new(198, 51, 100, 1), 40_000))
        .expect("a socket");
    socket
        .send_to(b"not Teredo", (PRIMARY, 3544))
        .expect("sent");
    // An answer to this one shows that the first one was handled: both took the same way.
    let solicitation = "6000000000083afffe8000000000000000003caf3f57fefdff0200000000000000000000000000028500023300000000";
    let bytes: Vec<u8> = (0..solicitation.len() / 2)
        .map(|i| u8::from_str_radix(&solicitation[2 * i..2 * i + 2], 16).expect("hexadecimal"))
        .collect();
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket.send_to(&bytes, (PRIMARY, 3544)).expect("sent");
    socket.receive(&mut [0; 1500]).expect("an advertisement");

    assert_eq!(server.terminate(DEADLINE).expect("it ends").code(), Some(0));
    let said = server.lines().join("\n");
    assert!(
        said.contains("served 1 solicitations") && said.contains("dropped 1 (malformed 1)"),
        "{said}"
    );
}

#[test]
fn a_port_in_use_and_an_address_elsewhere_are_named() {
    let (_internet, host) = host();
    let first = server(&host, &["--address", "192.0.2.1"]);
    first.wait_for_line("serving on", DEADLINE).expect("a line");
    for (arguments, what, hint) in [
        (
            &["--address", "192.0.2.1"][..],
            "UDP port 3544 on 192.0.2.1 is in use",
            "ss -lunp",
        ),
        (
            &["--address", "192.0.2.2"],
            "UDP port 3544 on 192.0.2.2 is in use",
            "ss -lunp",
        ),
        (
            &["--address", "203.0.113.1"],
            "203.0.113.1 is not an address of this host",
            "ip address add 203.0.113.1/32",
        ),
    ] {
        let refused = server(&host, arguments);
        assert_eq!(refused.wait(DEADLINE).expect("it ends").code(), Some(1));
        let said = refused.lines().join("\n");
        assert!(
            said.contains("teredo: cannot serve: ") && said.contains(what) && said.contains(hint),
            "{said}"
        );
    }
}

/// R4380-5.3.1-03: private addresses are for labs.
#[test]
fn private_addresses_need_an_option() {
    let private = run(&["server", "--address", "10.0.0.1"]);
    assert_eq!(private.code, 1);
    assert!(
        private
            .stderr
            .contains("10.0.0.1 is not a global unicast address"),
        "{}",
        private.stderr
    );
    assert!(
        private.stderr.contains("--allow-private"),
        "{}",
        private.stderr
    );
}
