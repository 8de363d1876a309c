#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::path::encapsulate::{Input, run};

fuzz_target!(|input: Input| run(input));
