//! What the fuzz targets do, without the fuzzer: the tests of `teredo` and of `teredo-tunnel` include each their part,
//! and replay the kept inputs.

#![forbid(unsafe_code)]

pub mod offload;
pub mod protocol;
