//! The target `frames` as libFuzzer calls it.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::let_theirs_panic(), |bytes: &[u8]| {
    fuzz::run(fuzz::Target::Frames, bytes);
});
