//! The program as scripts and people see it.

mod program;
mod server;
mod service;
mod shell;
