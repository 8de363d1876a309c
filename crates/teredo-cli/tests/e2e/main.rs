//! The whole system on an internet of network namespaces: this program, real NATs, real nftables, real `miredo`.
//!
//! Needs root, and the Debian packages `nftables`, `tshark`, `miredo`, `miredo-server`, `gcc`, `pkg-config`,
//! `python3`, `jq`, `bpftool`, `dbus`, `firewalld`, `iptables`, `ufw`, `bird2` and `miniupnpd-nftables`; a test that lacks its tool fails and names the package. Each test makes its own internet and leaves
//! nothing behind.

#[path = "../../../netioapi/core/tests/c_programs/compile.rs"]
#[allow(dead_code, reason = "the tests of the C libraries use more of it")]
mod c;
mod configured;
mod dialogue;
mod scenes;
mod shell;
mod subscriber;
mod visitor;
mod world;

mod administrator_set;
mod bad_luck;
mod birthday;
mod control;
mod data_path;
mod death;
mod discovery;
mod doctor;
mod faults_server;
mod firewalld;
mod fleet;
mod flood;
mod flood_server;
mod garbage;
mod guide;
mod hooks;
mod igd;
mod interval;
mod lab;
mod metrics;
mod miredo;
mod native;
mod opinions;
mod order;
mod port_map;
mod probe;
mod random_ports;
mod rebind;
mod relay;
mod reload;
mod ruleset;
mod secure;
mod servers;
mod several;
mod site;
mod status;
mod transfer;
mod trouble;
mod tunnel;
mod two_nats;
mod ufw;
mod windows;
mod world_changes;
