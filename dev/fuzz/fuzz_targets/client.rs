#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::protocol::client::{Input, run};

fuzz_target!(|input: Input| run(input));
