//! Say what this host can and cannot do

use schema::exit::Kind;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::shapes;
use crate::doctor::{Findings, Status, examine};
use crate::drivers::{Verdict, said};
use crate::report::style::Colour;

/// Say what this host can and cannot do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs every check; 69 where no driver is usable.
pub(crate) fn run(_: &Args, call: &Call) -> Ending {
    let findings = call.block_on(examine(&call.context, &call.engine))?;
    let best = best(&findings);
    // A bare home was not looked at for drivers, so nothing is known against this host.
    let proved = findings.proof.as_ref().is_ok_and(Vec::is_empty);
    let failed = findings.checks.iter().any(|check| check.status == Status::Fail);
    let code = match (best, proved) {
        (None, false) => Kind::NoDriver.code(),
        (Some(_) | None, _) if failed => Kind::Failed.code(),
        (Some(_) | None, _) => 0,
    };
    if call.report.is_text() {
        print(call, &findings, best);
    } else {
        call.report.document(&json!({
            "ok": code == 0,
            "driver": best.map(|verdict| verdict.driver.as_str()),
            "isolation": best.map(|v| shapes::isolation_word(v.accelerator.isolation())),
            "checks": findings.checks,
        }));
    }
    Ok(code)
}

fn best(findings: &Findings) -> Option<&Verdict> {
    let verdicts = findings.proof.as_ref().ok()?.iter().filter(|verdict| verdict.ok);
    verdicts.min_by_key(|verdict| {
        u8::from(shapes::isolation_word(verdict.accelerator.isolation()) != "hardware")
    })
}

fn print(call: &Call, findings: &Findings, best: Option<&Verdict>) {
    let style = call.report.form.out;
    for check in &findings.checks {
        let word = format!("{:<5}", check.status.as_str());
        let colour = match check.status {
            Status::Ok => Colour::Green,
            Status::Warn => Colour::Yellow,
            Status::Fail => Colour::Red,
        };
        let hint = check.hint.as_ref().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        let word = style.paint(colour, &word);
        call.report.line(&format!("{word} {:<15}{}{hint}", check.id, check.detail));
    }
    let line = match best {
        Some(verdict) => format!("Driver: {}", said(verdict.driver, verdict.accelerator)),
        None => "Driver: none was proved".to_owned(),
    };
    call.report.line(&line);
}
