//! One machine, from launch record to exit status.
