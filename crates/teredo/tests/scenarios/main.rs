//! Client, server and relay on a simulated internet: the demands of RFC 4380 and RFC 5991, seen from outside.
//!
//! Time is virtual, so an hour takes milliseconds, and every run is the same. Each test names its requirements from
//! `docs/conformance.toml`.

mod birthday;
mod bubbles;
mod churn;
mod determinism;
mod discovery;
mod eager;
mod encapsulation;
mod evidence;
mod fake_relay;
mod fake_server;
mod flood;
mod forged_errors;
mod hostile_link;
mod internet;
mod interval;
mod loss;
mod maintenance;
mod nat_matrix;
mod native;
mod newcomers;
mod offline;
mod one_way;
mod opening;
mod packets;
mod peers;
mod qualification;
mod random_port_flood;
mod random_ports;
mod reception;
mod refused;
mod relay;
mod relay_flood;
mod resume;
mod router_advertisement;
mod same_nat;
mod secure;
mod server_flood;
mod servers;
mod several_servers;
mod sunset;
mod symmetric;
mod unsupported;
mod upnp;
