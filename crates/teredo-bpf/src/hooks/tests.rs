use std::net::{Ipv4Addr, UdpSocket};

use super::*;
use crate::path::{Path, Settings};

#[test]
fn an_interface_of_another_kind_is_refused() {
    let error = index_of("lo", Kind::Tun).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`lo` is no TUN interface: its kind is 772"
    );
    let error = index_of("absent0", Kind::Tun).unwrap_err();
    assert!(matches!(error, PathError::NoInterface(name) if name == "absent0"));
}

/// A lane does not wait for somebody who changes a hook.
#[test]
fn a_socket_is_watched_at_once_or_later() {
    let path = Path::load(Settings::default()).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let changing = path.hooks().attached();
    assert!(path.hooks().try_watch(&socket).is_none());
    drop(changing);
    path.hooks().try_watch(&socket).unwrap().unwrap();
}
