#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::protocol::server::{Case, run};

fuzz_target!(|input: Case| run(input));
