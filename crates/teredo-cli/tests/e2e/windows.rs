//! Programs that were written for Windows, by its documentation, at a running client.

use std::process::Command;
use std::time::Duration;

use teredo_notify::code::Code;

use crate::c::{Compiler, FLAVOURS, Link};
use crate::dialogue::Dialogue;
use crate::shell::ask;
use crate::world::*;

/// N-02, N-06, N-10, N-11, N-12: a program without a line for this system is built with either library, as it is
/// installed, and follows the client behind its NAT from the beginning to the end.
#[test]
fn a_program_for_windows_follows_the_client() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    alice.qualified();
    for (flavour, not_ready) in FLAVOURS.into_iter().zip([
        Code::DeviceNotReady.ntstatus(),
        Code::DeviceNotReady.win32(),
    ]) {
        let built = Compiler::GCC.program(flavour, Link::Shared, "windows_follow");
        let mut program = Dialogue::start(&host, &alice.socket, &mut Command::new(built));
        program.says("MibInitialNotification 0");

        let first = ask(&host, &alice, &["port"]).port();
        let is = |port: u16| format!("GetTeredoPort: 0x00000000, {port}");
        assert_eq!(program.ask("port"), is(first));

        let second = ask(&host, &alice, &["rebind"]).port();
        assert_ne!(first, second);
        program.says(&format!("MibParameterNotification {second}"));
        assert_eq!(program.ask("port"), is(second));

        assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
        program.says("MibDeleteInstance 0");
        let answer = format!("GetTeredoPort: 0x{not_ready:08x}, 0");
        assert_eq!(program.ask("port"), answer);

        assert_eq!(ask(&host, &alice, &["start"]).code, Some(0));
        let third = ask(&host, &alice, &["port"]).port();
        program.says(&format!("MibAddInstance {third}"));
        assert_eq!(program.ask("port"), is(third));

        assert_eq!(program.ask("cancel"), "CancelMibChangeNotify2: 0x00000000");
        let fourth = ask(&host, &alice, &["rebind"]).port();
        assert!(program.is_silent(Duration::from_millis(200)));
        assert_eq!(program.ask("port"), is(fourth));
        assert!(program.end().success());
    }
}

/// N-02, N-11: a driver, loaded by a process that stands for the kernel.
#[test]
fn a_driver_for_windows_follows_the_client() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let [flavour, _] = FLAVOURS;
    let built = Compiler::GCC.program(flavour, Link::Shared, "driver_host");
    let mut driver = Dialogue::start(&host, &alice.socket, &mut Command::new(built));
    driver.says("FollowPort: 0x00000000");
    let mut follows = |port: u16| {
        eventually(SECOND, "a driver that knows the port", || {
            driver.ask("") == format!("1, {port}")
        });
    };
    follows(first);
    follows(ask(&host, &alice, &["rebind"]).port());
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
    follows(0);
    assert_eq!(ask(&host, &alice, &["start"]).code, Some(0));
    follows(ask(&host, &alice, &["port"]).port());
    assert!(driver.end().success());
}
