//! One test binary, one file per promise.
#![cfg(test)]
