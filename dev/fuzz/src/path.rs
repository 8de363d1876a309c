//! The targets of the crate `teredo-bpf`: the parser in the kernel beside the parser in Rust.

pub mod decapsulate;
pub mod encapsulate;
pub mod packet;
pub mod programs;
