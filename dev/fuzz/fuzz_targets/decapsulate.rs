#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::path::decapsulate::{Input, run};

fuzz_target!(|input: Input| run(input));
