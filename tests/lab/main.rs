//! The lab from outside: `tests/lab/run` on the machine suite's short list.
#![cfg(test)]

mod short;
