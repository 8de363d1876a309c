use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use super::Namespace;
use crate::Receive;

fn own() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
}

#[test]
fn closures_run_inside_and_the_caller_stays_outside() {
    let outside = own();
    let namespace = Namespace::new().unwrap();
    let inside = namespace.run(own).unwrap();
    assert_ne!(inside, outside);
    assert_eq!(own(), outside);
    assert_eq!(namespace.clone().run(own).unwrap(), inside);
    assert_ne!(Namespace::new().unwrap().run(own).unwrap(), inside);
}

#[test]
fn the_current_thread_can_enter() {
    let namespace = Namespace::new().unwrap();
    let inside = namespace.run(own).unwrap();
    let entered = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            namespace.enter().unwrap();
            own()
        });
        thread.join().unwrap()
    });
    assert_eq!(entered, inside);
}

#[test]
fn processes_start_inside() {
    let namespace = Namespace::new().unwrap();
    let mut command = Command::new("stat");
    command
        .args(["-L", "-c", "%i", "/proc/self/ns/net"])
        .stdout(Stdio::piped());
    // Twice, since the command comes back from the thread that ran it.
    for _ in 0..2 {
        let output = namespace
            .spawn(&mut command)
            .unwrap()
            .wait_with_output()
            .unwrap();
        let inode: u64 = String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert_eq!(inode, namespace.run(own).unwrap());
    }
    let error = namespace
        .spawn(&mut Command::new("/nonexistent"))
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_loopback_is_up_and_the_settings_are_sane() {
    let namespace = Namespace::new().unwrap();
    namespace
        .run(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            assert_eq!(socket.receive(&mut [0; 1]).unwrap(), 1);
            for (path, value) in super::SYSCTLS {
                let found = fs::read_to_string(format!("/proc/sys/{path}")).unwrap();
                assert_eq!(found.trim(), *value, "{path}");
            }
        })
        .unwrap();
}

#[test]
fn settings_are_its_own() {
    let (one, other) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    one.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
    let read = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(one.run(read).unwrap().trim(), "1");
    assert_eq!(other.run(read).unwrap().trim(), "0");
    let error = one.set_sysctl("net/ipv4/no_such_thing", "1").unwrap_err();
    assert!(error.to_string().contains("no_such_thing"), "{error}");
}

#[test]
fn panics_reach_the_caller() {
    let namespace = Namespace::new().unwrap();
    let run = std::panic::AssertUnwindSafe(|| namespace.run(|| panic!("inside")));
    let result = std::panic::catch_unwind(run);
    assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
    namespace.run(own).unwrap();
}
