#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::offload::cut::{Input, run};

fuzz_target!(|input: Input| run(input));
