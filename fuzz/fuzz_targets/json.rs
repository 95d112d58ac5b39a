#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tailwater::fuzzing::run("json", input));
