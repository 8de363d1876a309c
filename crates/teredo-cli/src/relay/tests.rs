use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use super::*;

fn settings(address: [u8; 4], host: bool, allow_private: bool) -> RelaySettings {
    RelaySettings {
        address: address.into(),
        port: 3545,
        host,
        serve: Vec::new(),
        deny: vec![(Ipv4Addr::new(192, 0, 2, 0), 24)],
        direct_bubbles: None,
        workers: std::num::NonZeroUsize::MIN,
        interface: String::from("teredo"),
        protect: false,
        allow_private,
        offload: Offload::default(),
        data_path: DataPathChoice::default(),
        group: None,
        metrics: None,
        socket: "/run/teredo/teredo.sock".into(),
    }
}

fn reported(failure: &Failure) -> String {
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    String::from_utf8(bytes).expect("text")
}

/// R4380-5.4.1-02, W-02: what the operator denies is denied, and a router's own address must be reachable.
#[test]
fn a_relay_needs_an_address_that_can_be_reached() {
    let allowed = policy(&settings([198, 51, 100, 9], false, false)).unwrap();
    assert!(allowed.permits_address([198, 51, 100, 1].into()));
    assert!(!allowed.permits_address([192, 0, 2, 1].into()));
    assert!(policy(&settings([10, 0, 0, 1], false, true)).is_ok());
    assert!(
        policy(&settings([10, 0, 0, 1], true, false)).is_ok(),
        "a host behind a NAT"
    );
    let private = policy(&settings([10, 0, 0, 1], false, false)).unwrap_err();
    assert!(
        reported(&private).contains("--host") && reported(&private).contains("--allow-private")
    );
    let loopback = policy(&settings([127, 0, 0, 1], false, true)).unwrap_err();
    assert!(!reported(&loopback).contains("--allow-private"));
}

#[test]
fn refusals_name_the_next_step() {
    let address = Ipv4Addr::new(192, 0, 2, 2);
    let taken = data_path_failure(
        BindError::InUse {
            address,
            port: 3545,
        }
        .into(),
    );
    assert!(reported(&taken).contains("ss -lunp") && reported(&taken).contains("--port"));
    let elsewhere = data_path_failure(BindError::AddressNotAvailable { address }.into());
    assert!(reported(&elsewhere).contains("ip address add 192.0.2.2/32"));
    let privileged = data_path_failure(BindError::NotPermitted { address, port: 53 }.into());
    assert_eq!(privileged.exit(), Exit::NotPermitted);
}
