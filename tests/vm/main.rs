//! Tests on real machines.
#![cfg(test)]
