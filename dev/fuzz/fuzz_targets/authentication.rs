#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::protocol::authentication::run;

fuzz_target!(|input: &[u8]| run(input));
