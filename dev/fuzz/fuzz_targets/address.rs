#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_fuzz::protocol::address::run;

fuzz_target!(|input: u128| run(input));
