//! What the fuzz targets do, without the fuzzer: the tests of `teredo` include its part and replay the kept
//! inputs.

#![forbid(unsafe_code)]

pub mod protocol;
