//! The threads of a VMM, by the numbers that they have here.

use std::fs::{read_dir, read_to_string};

/// Returns those threads of a process that `is_wanted` of a file of theirs below `/proc`.
fn threads(pid: u32, file: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let Ok(tasks) = read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let numbers = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    let read = |tid: &u32| read_to_string(format!("/proc/{pid}/task/{tid}/{file}"));
    numbers.filter(|tid| read(tid).is_ok_and(|text| is_wanted(&text))).collect()
}

/// Returns the threads whose names begin so.
pub(super) fn named(pid: u32, name: &str) -> Vec<u32> {
    threads(pid, "comm", |comm| comm.starts_with(name))
}

/// Returns the threads that have these numbers in the process's own namespace.
pub(super) fn numbered(pid: u32, inside: &[u32]) -> Vec<u32> {
    threads(pid, "status", |status| {
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let innermost = numbers.and_then(|numbers| numbers.split_whitespace().last());
        innermost.and_then(|number| number.parse().ok()).is_some_and(|it| inside.contains(&it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_found_by_their_names_and_by_their_numbers_inside() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        let other = std::thread::Builder::new().name("msb-other 7".into());
        let other = other.spawn(move || {
            begun.send(rustix::thread::gettid()).unwrap();
            wait.recv().ok();
        });
        let tid = begins.recv().unwrap().as_raw_nonzero().get().unsigned_abs();
        let pid = std::process::id();
        assert_eq!(named(pid, "msb-other "), [tid]);
        assert_eq!(numbered(pid, &[tid]), [tid]);
        assert!(numbered(pid, &[]).is_empty());
        drop(end);
        other.unwrap().join().unwrap();
    }
}
