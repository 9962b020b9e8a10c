//! What the guest is told about itself, taken from the launch record.

use schema::launch::{
    DriverName, LaunchRecord, MountSource, Role, SERIAL_ROOT, SERIAL_UPPER, Security,
};
use schema::wire::boot::{self, BootRecord, EnvVar};
use schema::wire::message::Rlimit;

use super::{BootError, Values};

/// Returns the boot record of a machine at `unix_ns`, with `entropy` for its pool.
pub(crate) fn boot_record(
    launch: &LaunchRecord,
    values: &Values,
    unix_ns: u64,
    entropy: [u8; 64],
) -> Result<BootRecord, BootError> {
    let guest = &launch.guest;
    let is_machine = launch.driver.name != DriverName::Process;
    Ok(BootRecord {
        unix_ns,
        entropy: entropy.to_vec(),
        machine_id: launch.machine.id.clone(),
        os_machine_id: guest.os_machine_id.clone(),
        hostname: guest.hostname.clone(),
        hosts: Vec::new(),
        disks: if is_machine { disks(launch) } else { Vec::new() },
        root: if is_machine { root(launch) } else { boot::Root::default() },
        mounts: mounts(launch),
        files: Vec::new(),
        env: env(launch, values)?,
        user: guest.user.clone(),
        workdir: guest.workdir.clone(),
        shell: guest.shell.clone(),
        cpus: launch.shape.cpus,
        memory_bytes: launch.shape.memory_bytes,
        rlimits: guest.rlimits.iter().map(rlimit).collect(),
        restricted: guest.security == Security::Restricted,
        stop_signal: launch.workload.stop_signal,
    })
}

fn disks(launch: &LaunchRecord) -> Vec<boot::Disk> {
    let is_disk = |role| matches!(role, Role::Root | Role::Upper | Role::Disk);
    let disks = launch.resources.iter().filter(|resource| is_disk(resource.role));
    disks.map(|d| boot::Disk { serial: d.serial.clone(), read_only: d.read_only }).collect()
}

fn root(launch: &LaunchRecord) -> boot::Root {
    let has_upper = launch.resources.iter().any(|resource| resource.role == Role::Upper);
    boot::Root {
        lower: SERIAL_ROOT.into(),
        lower_fstype: "erofs".into(),
        upper: has_upper.then(|| SERIAL_UPPER.into()),
    }
}

/// Returns the mounts; shares are counted in their order, which is the share server's.
fn mounts(launch: &LaunchRecord) -> Vec<boot::Mount> {
    let mut shares = 0;
    launch.mounts.iter().map(|wanted| mount(wanted, &mut shares)).collect()
}

fn mount(mount: &schema::launch::Mount, shares: &mut u32) -> boot::Mount {
    boot::Mount {
        target: mount.target.clone(),
        source: match &mount.source {
            MountSource::Disk { serial, fstype } => boot::MountSource::Disk {
                serial: serial.clone(),
                fstype: fstype.map(|fstype| fstype.as_str().to_owned()),
                own_when_empty: false,
            },
            MountSource::Share(share) => {
                let index = *shares;
                *shares += 1;
                boot::MountSource::Share { index, is_file: share.file.is_some() }
            }
            MountSource::Named { serial, .. } => boot::MountSource::Disk {
                serial: serial.clone(),
                fstype: None,
                own_when_empty: true,
            },
            MountSource::Tmpfs { size_bytes, mode } => {
                boot::MountSource::Tmpfs { size_bytes: *size_bytes, mode: *mode }
            }
        },
        read_only: mount.read_only,
        noexec: mount.noexec,
        nosuid: mount.nosuid,
        nodev: mount.nodev,
    }
}

fn rlimit(limit: &schema::launch::Rlimit) -> Rlimit {
    Rlimit { resource: limit.resource.clone(), soft: limit.soft, hard: limit.hard }
}

fn env(launch: &LaunchRecord, values: &Values) -> Result<Vec<EnvVar>, BootError> {
    let plain = launch.guest.env.iter();
    let mut env: Vec<EnvVar> =
        plain.map(|(key, value)| EnvVar { key: key.clone(), value: value.clone() }).collect();
    for key in &launch.guest.sensitive_env {
        let value = values.env(key)?.to_owned();
        env.retain(|var| var.key != *key);
        env.push(EnvVar { key: key.clone(), value });
    }
    Ok(env)
}
