//! The whole system on an internet of network namespaces: this program, real NATs, real nftables, real `miredo`.
//!
//! Needs root, and the Debian packages `nftables`, `tshark`, `miredo` and `miredo-server`; a test that lacks its
//! tool fails and names the package. Each test makes its own internet and leaves nothing behind.

mod shell;
mod subscriber;
mod world;

mod control;
mod death;
mod garbage;
mod lab;
mod miredo;
mod rebind;
mod ruleset;
mod trouble;
mod tunnel;
