//! The work of the fuzz targets, without the fuzzer. The tests of `teredo`, `teredo-tunnel` and `teredo-bpf` include each their
//! part, and replay the kept inputs.

#![forbid(unsafe_code)]

pub mod offload;
pub mod path;
pub mod protocol;
