//! Reading a Sandboxfile opens that file once, and does nothing else: no program is run, nobody is
//! called, nothing is written outside the home, and no file that it names is opened.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::home::Home;
use tests::programs::checkout;
use tests::run::Run;

/// Returns the corpus of the fuzz targets below one folder, by name.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![checkout().join("tests/fuzz/corpus").join(folder)];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Copies files into the project, under numbers; returns their names there.
fn bring(home: &Home, files: &[PathBuf]) -> Vec<String> {
    let name = |(number, path): (usize, &PathBuf)| {
        let suffix = path.extension().unwrap().to_str().unwrap();
        let name = format!("c{number}.{suffix}");
        fs::copy(path, home.project().join(&name)).unwrap();
        name
    };
    files.iter().enumerate().map(name).collect()
}

/// Runs `msb` under strace; returns how it ended, and its calls that have to do with files,
/// processes and networks.
fn traced(home: &Home, args: &[&str]) -> (Run, Vec<String>) {
    let trace = home.scratch("trace");
    let msb = home.command();
    let mut command = tests::run::bare("strace");
    command.args(["-f", "-qq", "-y", "-s", "4096", "-e", "trace=%process,%network,%file", "-o"]);
    command.arg(&trace).arg(msb.get_program()).args(args);
    for (name, value) in msb.get_envs() {
        command.env(name, value.unwrap());
    }
    command.current_dir(home.project());
    let run = home.spawn(command).wait(home.rung().patience());
    let text = fs::read_to_string(trace).unwrap();
    let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim());
    (run, calls.map(str::to_owned).collect())
}

/// Returns the calls that are more than reading: in words, for the failure.
fn deeds(calls: &[String], home: &Path) -> Vec<String> {
    let home = format!("\"{}", home.display());
    let changes = [
        "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod", "chmod", "chown",
        "truncate", "utime", "creat", "mount", "fchmodat", "fchownat",
    ];
    let is_deed = |call: &&String| {
        let name = call.split('(').next().unwrap_or_default();
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|f| call.contains(f));
        let touches = (name.starts_with("open") && writes)
            || changes.iter().any(|change| name.starts_with(change));
        let networks = ["socket", "connect", "bind", "listen", "send", "recv"];
        let runs = ["execve", "fork", "vfork", "kill", "tkill", "pidfd"];
        (touches && !call.contains(&home))
            || networks.iter().chain(&runs).any(|start| name.starts_with(start))
    };
    // The first call starts msb itself.
    calls.iter().skip(1).filter(is_deed).cloned().collect()
}

/// Returns how often a file of the project was opened.
fn opened(calls: &[String], home: &Home, name: &str) -> usize {
    let path = format!("\"{}\"", home.project().join(name).display());
    calls.iter().filter(|call| call.starts_with("open") && call.contains(&path)).count()
}

#[test]
fn s24_reading_a_file_does_nothing() {
    let home = Home::process();
    for named in ["ca.pem", "web.env", "stripe.key"] {
        home.write(named, "nobody may read this\n");
    }
    let all = ["hostile", "kdl", "sandboxfile", "yaml"].map(corpus).concat();
    let names = bring(&home, &all);
    let mut args = vec!["validate"];
    args.extend(names.iter().map(String::as_str));
    let (run, calls) = traced(&home, &args);
    assert_eq!(run.code, 65, "{run}");
    assert_eq!(deeds(&calls, &home.path()), [""; 0]);
    for name in &names {
        assert_eq!(opened(&calls, &home, name), 1, "{name} is opened once");
    }
    let wholes = bring(&home, &corpus("sandboxfile"));
    for command in ["diff", "plan", "validate"] {
        for name in &wholes {
            let (_, calls) = traced(&home, &["-f", name, command]);
            assert_eq!(deeds(&calls, &home.path()), [""; 0], "{command} {name}");
            assert_eq!(opened(&calls, &home, name), 1, "{command} {name}");
            for named in ["ca.pem", "web.env", "stripe.key"] {
                assert_eq!(opened(&calls, &home, named), 0, "{command} {name} opens {named}");
            }
        }
    }
}

#[test]
fn sf_f9_folders_devices_and_sockets_are_refused_and_a_named_pipe_is_read() {
    let home = Home::process();
    fs::create_dir(home.project().join("folder.kdl")).unwrap();
    let _socket = UnixListener::bind(home.project().join("socket.kdl")).unwrap();
    home.msb(["-f", "folder.kdl", "validate"]).exits(65).complains(&["msb::file::not-found"]);
    home.msb(["-f", "socket.kdl", "validate"]).exits(65).complains(&["msb::file::unreadable"]);
    std::os::unix::fs::symlink("/dev/zero", home.project().join("device.kdl")).unwrap();
    home.msb(["-f", "device.kdl", "validate"]).exits(65).complains(&["not a file"]);

    let pipe = home.project().join("pipe.kdl");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // The writer of an endless pipe ends when nobody reads on.
    piped(&home, Path::new("/dev/zero")).exits(65).complains(&["msb::limit::file-bytes"]);
    let example = checkout().join("examples/hello/Sandboxfile");
    piped(&home, &example).exits(0).says(&["valid"]);
}

/// Validates a pipe into which a file is written.
fn piped(home: &Home, file: &Path) -> Run {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = fs::File::open(file).unwrap();
            let mut pipe = fs::File::create(home.project().join("pipe.kdl")).unwrap();
            drop(io::copy(&mut from, &mut pipe));
        });
        home.msb(["-f", "pipe.kdl", "validate"])
    })
}

#[test]
fn sf_f9_a_pipe_that_is_found_is_no_candidate() {
    let home = Home::process();
    let pipe = home.project().join("Sandboxfile");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    home.msb(["validate"]).exits(65).complains(&["msb::file::not-found"]);
}

#[test]
fn sf_f9_a_file_is_read_to_its_limit_and_one_byte() {
    let home = Home::process();
    let file = fs::File::create(home.project().join("huge.kdl")).unwrap();
    file.set_len(1 << 40).unwrap();
    home.msb(["-f", "huge.kdl", "validate"]).exits(65).complains(&[
        "huge.kdl:1:",
        "msb::limit::file-bytes",
        "more than 1048576 bytes",
    ]);
}
