use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, ipproto, netdevice, socket, socket_with,
};
use teredo_bpf::PathError;

use super::*;

/// Runs `job` in the sandbox; the thread ends with it.
fn inside<T: Send>(needs: &Needs, job: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            enter(needs);
            job()
        });
        thread.join().unwrap()
    })
}

fn denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// No role writes a file of others, starts a program or listens to all packets, even as root.
#[test]
fn no_role_does_what_none_needs() {
    let folder = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    let socket = own.path().join("s");
    for needs in [
        Needs::of_a_node(&socket),
        Needs::of_a_relay(&socket),
        Needs::of_a_server(&socket),
        Needs::of_a_firewall(false),
        Needs::of_a_firewall(true),
    ] {
        let file = folder.path().join("file");
        fs::write(&file, "before").unwrap();
        inside(&needs, || {
            assert!(denied(fs::write(&file, "after")), "{needs:?}");
            assert!(
                denied(fs::write(folder.path().join("new"), "")),
                "{needs:?}"
            );
            assert!(denied(fs::remove_file(&file)), "{needs:?}");
            assert!(denied(fs::File::create("/etc/teredo.test")), "{needs:?}");
            assert!(denied(Command::new("/bin/true").spawn()), "{needs:?}");
            let packets = socket_of(AddressFamily::PACKET);
            assert_eq!(packets, Some(Errno::PERM), "{needs:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        });
    }
}

fn socket_of(family: AddressFamily) -> Option<Errno> {
    socket(family, SocketType::DGRAM, None).err()
}

/// A client keeps its socket's folder and the Internet; a firewall has neither.
#[test]
fn each_role_keeps_what_it_needs() {
    let own = tempfile::tempdir().unwrap();
    let needs = Needs::of_a_node(&own.path().join("s"));
    inside(&needs, || {
        fs::write(own.path().join("s.lock"), "").unwrap();
        fs::remove_file(own.path().join("s.lock")).unwrap();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    });
    inside(&Needs::of_a_firewall(false), || {
        // The agent asks for the name of a tunnel that may have been renamed.
        let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        assert_eq!(netdevice::index_to_name(&any, 1).unwrap(), "lo");
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            assert_eq!(socket_of(family), Some(Errno::PERM));
        }
        assert_eq!(socket_of(AddressFamily::UNIX), None);
        teredo_nft::Netlink::open().unwrap();
        assert!(denied(fs::write(own.path().join("file"), "")));
    });
}

/// For its metrics, a firewall listens anew after a reload. It sends no datagrams and connects to nobody.
#[test]
fn a_firewall_with_metrics_only_listens() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap();
    inside(&Needs::of_a_firewall(true), || {
        let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        drop(own);
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            for kind in [SocketType::DGRAM, SocketType::RAW, SocketType::SEQPACKET] {
                let refused = socket_with(family, kind, SocketFlags::CLOEXEC, None);
                assert_eq!(refused.err(), Some(Errno::PERM), "{kind:?}");
            }
            for protocol in [ipproto::SCTP, ipproto::MPTCP] {
                let refused = socket(family, SocketType::STREAM, Some(protocol));
                assert_eq!(refused.err(), Some(Errno::PERM), "{protocol:?}");
            }
        }
        assert!(denied(TcpStream::connect(address)), "it connects to nobody");
        teredo_nft::Netlink::open().unwrap();
    });
}

/// With the path in the kernel loaded, a client or server writes its maps. It loads no programs; a relay does.
#[test]
fn a_loaded_path_is_used_and_no_other_is_loaded() {
    let own = tempfile::tempdir().unwrap();
    let socket = own.path().join("s");
    let load = || teredo_bpf::Path::load(teredo_bpf::Settings::default());
    for needs in [Needs::of_a_node(&socket), Needs::of_a_server(&socket)] {
        let mut path = load().unwrap();
        inside(&needs, || {
            path.open().unwrap();
            path.close().unwrap();
            path.outcomes().unwrap();
            assert!(matches!(load(), Err(PathError::NotPermitted)), "{needs:?}");
        });
    }
    inside(&Needs::of_a_relay(&socket), || drop(load().unwrap()));
    inside(&Needs::of_a_firewall(false), || {
        load().unwrap_err();
    });
}
