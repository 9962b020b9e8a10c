//! The target `load` as libFuzzer calls it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::run(fuzz::Target::Load, bytes);
});
