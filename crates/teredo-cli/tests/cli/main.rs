//! The program as scripts and people see it.

mod announce;
mod config;
mod program;
mod server;
mod service;
mod shell;
mod top;
mod trace;
