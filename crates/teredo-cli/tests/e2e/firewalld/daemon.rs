//! Debian's firewalld on a host of the lab, with a bus and settings of its own.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use teredo_lab::{Host, Process, until};

use crate::world::*;

/// A bus of the system with Debian's policies, on which nothing is started by itself. Without polkit, firewalld trusts
/// root alone.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <includedir>/usr/share/dbus-1/system.d</includedir>
</busconfig>
"#;

const NEVER_STARTS: Duration = Duration::from_secs(30);

/// firewalld, and the bus that it is on.
pub(crate) struct Firewalld<'a> {
    world: &'a World,
    host: &'a Host,
    bus: Process,
    process: Option<Process>,
}

impl<'a> Firewalld<'a> {
    /// Starts both, and waits until firewalld answers.
    pub(crate) fn start(world: &'a World, host: &'a Host) -> Self {
        let (socket, conf) = (world.path("bus"), world.path("bus.conf"));
        fs::write(&conf, BUS.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--config-file").arg(&conf);
        let bus = Process::spawn(host.namespace(), "bus", &mut command)
            .unwrap_or_else(|error| panic!("dbus-daemon: {error} (package dbus)"));
        until(NEVER_STARTS, "a bus", || socket.exists().then_some(())).unwrap();
        fs::create_dir(world.path("firewalld")).unwrap();
        let mut firewalld = Self {
            world,
            host,
            bus,
            process: None,
        };
        firewalld.start_again();
        firewalld
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.terminate(SECOND * 10).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill().unwrap();
    }

    pub(crate) fn stop_bus(&self) {
        self.bus.terminate(SECOND * 5).unwrap();
    }

    /// The address of the bus, for `DBUS_SYSTEM_BUS_ADDRESS`.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.world.path("bus").display())
    }

    /// Starts firewalld, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new("firewalld");
        command
            .args(["--nofork", "--nopid"])
            .arg("--system-config")
            .arg(self.world.path("firewalld"))
            .arg("--log-file")
            .arg(self.world.path("firewalld.log"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        let process = Process::spawn(self.host.namespace(), "firewalld", &mut command)
            .unwrap_or_else(|error| panic!("firewalld: {error} (package firewalld)"));
        self.process = Some(process);
        let answer = until(NEVER_STARTS, "firewalld", || {
            let output = self.ask(&["--state"]);
            (output.stdout == b"running\n").then_some(())
        });
        answer.unwrap();
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("firewall-cmd");
        command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        run(self.host, &mut command)
    }

    #[track_caller]
    pub(crate) fn tell(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "firewall-cmd {arguments:?}: {errors}"
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
