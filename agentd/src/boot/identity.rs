//! Step `identity`: what the guest is called, and who its sandbox's user is.

use std::fs;
use std::io;
use std::path::Path;

use schema::wire::boot::HostLine;

use super::files::place_file;
use super::{Attempt as _, Booting, StepError};
use crate::place::Place;
use crate::sys;
use crate::users::{Identity, Users, read_start};

/// Between these lines of `/etc/hosts` nobody else's word holds.
const OURS_BEGIN: &str = "# msb: begin";
const OURS_END: &str = "# msb: end";

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    if booting.place.is_machine() {
        name(booting)?;
    }
    booting.user = user_of(&booting.place, booting.record.user.as_deref())
        .map_err(|error| StepError::Record(error.to_string()))?;
    Ok(())
}

/// Returns who a user of the sandbox is.
///
/// Without a machine that is the one who runs the agent: nobody else's name means anything there.
pub(crate) fn user_of(
    place: &Place,
    spec: Option<&str>,
) -> Result<Identity, crate::users::UnknownUser> {
    let users = Users::read();
    match place {
        Place::Machine => users.resolve(spec.unwrap_or("0")),
        Place::Process { .. } => {
            let own = sys::children::user_id().to_string();
            let number = spec.filter(|spec| spec.starts_with(|first: char| first.is_ascii_digit()));
            users.resolve(number.filter(|_| sys::children::is_root()).unwrap_or(&own))
        }
    }
}

fn name(booting: &Booting) -> Result<(), StepError> {
    let record = &booting.record;
    if record.hostname.is_empty() {
        return Ok(());
    }
    sys::machine::set_host_name(&record.hostname)
        .attempt(|| format!("naming the guest `{}`", record.hostname))?;
    write("/etc/hostname", &format!("{}\n", record.hostname))?;
    let theirs = read_start(Path::new("/etc/hosts")).unwrap_or_default();
    write("/etc/hosts", &hosts(&record.hostname, &record.hosts, &theirs))?;
    let known = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if matches!(known.trim(), "" | "uninitialized") && !record.os_machine_id.is_empty() {
        write("/etc/machine-id", &format!("{}\n", record.os_machine_id))?;
    }
    Ok(())
}

/// Writes a file of the guest; a root that cannot be written keeps its own.
fn write(path: &str, content: &str) -> Result<(), StepError> {
    if fs::read(path).is_ok_and(|there| there == content.as_bytes()) {
        return Ok(());
    }
    match place_file(Path::new(path), 0o644, content.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        answer => answer.attempt(|| format!("writing {path}")),
    }
}

/// Returns `/etc/hosts`: our lines, then what else the file says.
fn hosts(hostname: &str, lines: &[HostLine], theirs: &str) -> String {
    let mut out = vec![
        OURS_BEGIN.to_owned(),
        "127.0.0.1\tlocalhost".into(),
        "::1\tlocalhost ip6-localhost ip6-loopback".into(),
    ];
    if !lines.iter().any(|line| line.names.iter().any(|name| name == hostname)) {
        out.push(format!("127.0.1.1\t{hostname}"));
    }
    out.extend(lines.iter().map(|line| format!("{}\t{}", line.address, line.names.join(" "))));
    out.push(OURS_END.into());
    let mut is_ours = false;
    for line in theirs.lines() {
        is_ours |= line == OURS_BEGIN;
        let mut words = line.split_whitespace();
        let is_loopback = matches!(words.next(), Some("127.0.0.1" | "::1"))
            && words.all(|name| matches!(name, "localhost" | "ip6-localhost" | "ip6-loopback"));
        if !is_ours && !is_loopback {
            out.push(line.to_owned());
        }
        is_ours &= line != OURS_END;
    }
    out.push(String::new());
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_lines() -> Vec<HostLine> {
        vec![HostLine { address: "198.18.0.1".into(), names: vec!["host.msb.internal".into()] }]
    }

    #[test]
    fn hosts_keeps_the_lines_of_the_image() {
        let made = hosts("web", &some_lines(), "127.0.0.1 localhost\n10.0.0.1 db\n");
        assert_eq!(
            made,
            "# msb: begin\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             127.0.1.1\tweb\n198.18.0.1\thost.msb.internal\n# msb: end\n10.0.0.1 db\n"
        );
    }

    #[test]
    fn hosts_made_twice_is_the_same() {
        let once = hosts("web", &some_lines(), "10.0.0.1 db\n");
        assert_eq!(hosts("web", &some_lines(), &once), once);
        assert!(!hosts("db", &some_lines(), &once).contains("web"), "an old name is forgotten");
    }

    #[test]
    fn an_address_of_its_own_name_is_not_given_twice() {
        let lines = vec![HostLine { address: "198.18.0.2".into(), names: vec!["web".into()] }];
        assert!(!hosts("web", &lines, "").contains("127.0.1.1"));
    }
}
