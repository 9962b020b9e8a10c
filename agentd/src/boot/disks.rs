//! Step `disks`: the disks that are there are the disks of the record.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schema::wire::boot::Disk;

use super::{Attempt as _, Booting, StepError};

/// Length of a sector in the kernel's figures.
const SECTOR_BYTES: u64 = 512;

/// A disk that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// The serial it is known by.
    pub(super) serial: String,
    /// Its node.
    pub(super) node: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
    /// Whether it refuses writes.
    pub(super) read_only: bool,
}

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let devices = find()?;
    compare(&booting.record.disks, &devices)?;
    booting.devices = devices;
    Ok(())
}

fn find() -> Result<Vec<Device>, StepError> {
    let entries = fs::read_dir("/sys/block").attempt(|| "listing /sys/block".into())?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("vd")).map(|name| describe(&name)).collect()
}

fn describe(name: &str) -> Result<Device, StepError> {
    let read = |file: &str| {
        let path = Path::new("/sys/block").join(name).join(file);
        let text = fs::read_to_string(&path).attempt(|| format!("reading {}", path.display()))?;
        Ok::<_, StepError>(text.trim_end().to_owned())
    };
    let sectors: u64 = read("size")?.parse().unwrap_or(0);
    Ok(Device {
        serial: read("serial")?,
        node: Path::new("/dev").join(name),
        bytes: sectors * SECTOR_BYTES,
        read_only: read("ro")? == "1",
    })
}

/// Refuses a machine with a disk missing, a disk too many, or one that could be written.
fn compare(wanted: &[Disk], found: &[Device]) -> Result<(), StepError> {
    let has: BTreeSet<&str> = found.iter().map(|device| device.serial.as_str()).collect();
    let wants: BTreeSet<&str> = wanted.iter().map(|disk| disk.serial.as_str()).collect();
    if let Some(serial) = wants.difference(&has).next() {
        return Err(StepError::Record(format!("the disk `{serial}` is missing")));
    }
    if let Some(serial) = has.difference(&wants).next() {
        return Err(StepError::Record(format!("the disk `{serial}` is not in the boot record")));
    }
    if has.len() != found.len() || wants.len() != wanted.len() {
        return Err(StepError::Record("two disks have the same serial".into()));
    }
    let mut pairs = wanted.iter().flat_map(|disk| {
        found.iter().filter(|device| device.serial == disk.serial).map(move |device| (disk, device))
    });
    match pairs.find(|(disk, device)| disk.read_only != device.read_only) {
        None => Ok(()),
        Some((disk, _)) => {
            let (is, should) =
                if disk.read_only { ("writable", "read-only") } else { ("read-only", "writable") };
            let serial = &disk.serial;
            Err(StepError::Record(format!("the disk `{serial}` is {is} and should be {should}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads words like `a` and `b:ro`.
    fn check(wanted: &str, found: &str, expected: &str) {
        let parse = |word: &str| match word.split_once(':') {
            Some((serial, _)) => (serial.to_owned(), true),
            None => (word.to_owned(), false),
        };
        let wanted: Vec<Disk> = wanted
            .split_whitespace()
            .map(parse)
            .map(|(serial, read_only)| Disk { serial, read_only })
            .collect();
        let found: Vec<Device> = found
            .split_whitespace()
            .map(parse)
            .map(|(serial, read_only)| Device {
                serial,
                read_only,
                node: "/dev/x".into(),
                bytes: 0,
            })
            .collect();
        let answer =
            compare(&wanted, &found).map_or_else(|error| error.to_string(), |()| "ok".into());
        assert_eq!(answer, expected);
    }

    #[test]
    fn the_disks_must_be_those_of_the_record() {
        check("msb-root:ro msb-upper", "msb-upper msb-root:ro", "ok");
        check("", "", "ok");
        check("a b", "a", "the disk `b` is missing");
        check("a", "a b", "the disk `b` is not in the boot record");
        check("a", "a a", "two disks have the same serial");
    }

    #[test]
    fn what_is_read_only_must_be_so_on_the_device() {
        check("a:ro", "a", "the disk `a` is writable and should be read-only");
        check("a", "a:ro", "the disk `a` is read-only and should be writable");
    }
}
