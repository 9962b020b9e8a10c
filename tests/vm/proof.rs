//! A driver is proved by a guest that speaks, and by nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::home::{Home, put};
use tests::programs;
use tests::run::Started;
use tests::skip::skip;

/// Longer than the deadline of any proof.
const PATIENCE: Duration = Duration::from_secs(90);

/// A proof that was asked for, and what it found.
struct Proof {
    code: i32,
    verdicts: Vec<Value>,
}

fn prove(home: &Home, driver: &str, initramfs: &Path, more: &[&str]) -> Proof {
    let mut command = Command::new(programs::folder().join("msb-runtime"));
    command.args(["probe", driver, "--kernel"]).arg(programs::kernel().join("vmlinux"));
    command.arg("--initramfs").arg(initramfs).args(more);
    let run = Started::spawn(command, &home.project().join("proof")).wait(PATIENCE);
    let verdicts = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Proof { code: run.code, verdicts }
}

fn initramfs(home: &Home) -> PathBuf {
    let path = home.project().join("agent.cpio");
    let mut command = Command::new(programs::folder().join("msb-runtime"));
    command.arg("initramfs").arg("--agent").arg(programs::folder().join("agentd"));
    command.arg("--out").arg(&path);
    let run = Started::spawn(command, &home.project().join("initramfs")).wait(PATIENCE);
    assert_eq!(run.code, 0, "{}", run.stderr);
    path
}

#[test]
fn rt_2_4_the_emulator_is_proved_by_an_agent_that_introduces_itself() {
    let home = Home::machine();
    let proof = prove(&home, "qemu-tcg", &initramfs(&home), &[]);
    assert_eq!(proof.code, 0, "{:?}", proof.verdicts);
    let verdict = &proof.verdicts[0];
    assert_eq!((&verdict["ok"], &verdict["stage"]), (&true.into(), &"proved".into()), "{verdict}");
    assert!(verdict["t1_ms"].as_u64() <= verdict["hello_ms"].as_u64(), "{verdict}");
}

#[test]
fn rt_2_4_a_kvm_that_runs_no_guest_is_refused_and_the_emulator_stands_in() {
    let home = Home::machine();
    let proof = prove(&home, "auto", &initramfs(&home), &[]);
    assert_eq!(proof.code, 0, "{:?}", proof.verdicts);
    let liked = [("krun", "kvm"), ("qemu", "kvm"), ("qemu", "tcg")];
    for (verdict, (driver, accelerator)) in proof.verdicts.iter().zip(liked) {
        assert_eq!(
            (&verdict["driver"], &verdict["accelerator"]),
            (&driver.into(), &accelerator.into())
        );
    }
    let (proved, failed) = proof.verdicts.split_last().unwrap();
    assert_eq!(
        proved["ok"], true,
        "whoever is liked less than the best is not asked for: {proved}"
    );
    for kvm in failed {
        assert!(
            kvm["ok"] == false && kvm["reason"].is_string() && kvm["hint"].is_string(),
            "{kvm}"
        );
    }
}

#[test]
fn rt_2_4_a_guest_without_an_agent_proves_nothing_and_says_its_last_words() {
    let home = Home::machine();
    home.write("none.cpio", &"\0".repeat(4096));
    let proof = prove(&home, "qemu-tcg", &home.project().join("none.cpio"), &[]);
    assert_eq!(proof.code, 69);
    let verdict = &proof.verdicts[0];
    assert_eq!((&verdict["ok"], &verdict["stage"]), (&false.into(), &"boot".into()), "{verdict}");
    assert!(verdict["reason"].as_str().unwrap().contains("Kernel panic"), "{verdict}");
}

#[test]
fn rt_2_4_a_vmm_that_only_burns_time_is_ended_at_its_deadline() {
    let home = Home::machine();
    let spinning = home.project().join("spin");
    home.write("spin", "#!/bin/sh\nwhile :; do :; done\n");
    fs::set_permissions(&spinning, Permissions::from_mode(0o700)).unwrap();
    let program = spinning.to_str().unwrap();
    let proof = prove(&home, "qemu-kvm", &initramfs(&home), &["--qemu", program]);
    assert_eq!(proof.code, 69, "{:?}", proof.verdicts);
    let verdict = &proof.verdicts[0];
    // A host without the device has nothing to try.
    if verdict["stage"] != "open" {
        let reason = verdict["reason"].as_str().unwrap();
        let ends = ["no word of the agent within 15 s", "the VMM used up its processor time"];
        assert!(ends.iter().any(|end| reason.contains(end)), "{verdict}");
    }
    assert!(home.alive().is_empty(), "{:#?}", home.alive());
}

#[test]
fn a_host_without_qemu_is_told_what_to_install() {
    let home = Home::machine();
    let proof = prove(&home, "qemu", &initramfs(&home), &["--qemu", "/nowhere/qemu"]);
    assert_eq!(proof.code, 69);
    for verdict in &proof.verdicts {
        assert_eq!(verdict["reason"], "/nowhere/qemu is not installed", "{verdict}");
        assert!(verdict["hint"].as_str().unwrap().contains("Install QEMU"), "{verdict}");
    }
}

/// Writes into a proof that QEMU works on KVM; false where KVM does work.
fn claim_kvm(proof: &Path) -> bool {
    let mut kept: Value = serde_json::from_str(&fs::read_to_string(proof).unwrap()).unwrap();
    for verdict in kept["verdicts"].as_array_mut().unwrap() {
        if verdict["accelerator"] == "kvm" && verdict["ok"] == true {
            return false;
        }
        if verdict["accelerator"] == "kvm" && verdict["driver"] == "qemu" {
            verdict["ok"] = true.into();
        }
    }
    put(proof, &kept.to_string());
    true
}

#[test]
fn rt_2_5_a_proof_that_does_not_hold_is_taken_back_and_the_next_driver_starts_the_machine() {
    let home = Home::machine();
    let run = || home.msb(["run", "--rm", "builtin:base", "--", "echo", "up"]);
    let proof = home.path().join("db/proof.json");
    if !proof.exists() {
        let first = run();
        assert_eq!(first.code, 0, "{}", first.stderr);
    }
    if !claim_kvm(&proof) {
        return skip("no-kvm");
    }
    let taken_back = run();
    assert_eq!((taken_back.code, taken_back.stdout.as_str()), (0, "up\n"), "{}", taken_back.stderr);
    let told = "did not start on qemu on KVM, which was proved";
    assert!(taken_back.stderr.contains(told), "{}", taken_back.stderr);
    assert!(taken_back.stderr.contains("once more on qemu, emulated"), "{}", taken_back.stderr);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&proof).unwrap()).unwrap();
    let is_it = |one: &&Value| one["driver"] == "qemu" && one["accelerator"] == "kvm";
    let verdict = kept["verdicts"].as_array().unwrap().iter().find(is_it).unwrap();
    assert_eq!((&verdict["ok"], &verdict["stage"]), (&false.into(), &"start".into()), "{verdict}");
    assert_eq!(kept["borne_out"], serde_json::json!([["qemu", "tcg"]]), "{kept}");
    let again = run();
    assert_eq!((again.code, again.stdout.as_str()), (0, "up\n"), "{}", again.stderr);
    assert!(!again.stderr.contains("did not start"), "{}", again.stderr);
}
