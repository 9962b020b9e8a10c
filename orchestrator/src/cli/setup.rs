//! Prepare the home, the base image and the driver

use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use crate::context::{Clock as _, Context};
use crate::doctor::find_kernel;
use crate::drivers::{Drivers, Proving, said};
use crate::report::human::count;
use crate::store::{Store, StoreError, anew};

/// Prepare the home, the base image and the driver
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; exit with 1 if something is missing
    #[arg(long)]
    check: bool,
}

/// The name under which the base image stands in the catalogue.
const BASE: &str = "builtin:base";

/// A part of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Home,
    State,
    Kernel,
    Agent,
    Base,
    Driver,
}

const PARTS: [Part; 6] =
    [Part::Home, Part::State, Part::Kernel, Part::Agent, Part::Base, Part::Driver];

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::State => "state",
            Self::Kernel => "kernel",
            Self::Agent => "agent",
            Self::Base => "base",
            Self::Driver => "driver",
        }
    }

    /// Returns what is there, where it is.
    fn present(self, call: &Call) -> Result<Option<String>, Failures> {
        let context = &call.context;
        let is_there = context.existing_home().map_err(Failure::from)?.is_some();
        Ok(match self {
            Self::Home => is_there.then(|| context.home().display().to_string()),
            Self::State => match Store::open_read_only(context.home()) {
                Ok(state) => state.map(|_| "the database opens".to_owned()),
                // It is made anew.
                Err(StoreError::Missing { .. }) => None,
                Err(error) => return Err(crate::engine::Troubles::from(error).into()),
            },
            Self::Kernel => find_kernel(context).map(|path| path.display().to_string()),
            Self::Agent => Some(context.programs.join("agentd"))
                .filter(|path| path.is_file())
                .map(|path| path.display().to_string()),
            Self::Base => base(call)?,
            Self::Driver => remembered(context),
        })
    }

    /// Makes it.
    async fn make(self, call: &Call) -> Result<(), Failures> {
        match self {
            Self::Home => drop(call.context.prepared_home().map_err(Failure::from)?),
            Self::State => state(call)?,
            Self::Kernel => {
                return Err(Failure::new("driver::none", "driver", "there is no guest kernel")
                    .hint("Run ./setup in the checkout, or name one with MSB_KERNEL.")
                    .into());
            }
            Self::Agent => {
                return Err(Failure::new(
                    "driver::none",
                    "driver",
                    "there is no agentd beside msb",
                )
                .hint("Run ./setup in the checkout, which builds and installs it.")
                .into());
            }
            Self::Base => call.engine.prepare_base().await?,
            Self::Driver => {
                let verdicts = call.engine.prove(Proving::Best).await?;
                if !verdicts.iter().any(|verdict| verdict.ok) {
                    let error = crate::drivers::DriversError::None { verdicts };
                    return Err(Failure::of_report(error.report()).into());
                }
            }
        }
        Ok(())
    }
}

/// Makes the state, anew where the home shows that there was one.
fn state(call: &Call) -> Result<(), Failures> {
    let context = &call.context;
    if !matches!(Store::open_read_only(context.home()), Err(StoreError::Missing { .. })) {
        drop(call.engine.store()?);
        return Ok(());
    }
    let made = anew::make(context.home(), context.clock.unix_ms());
    let made = made.map_err(crate::engine::Troubles::from)?;
    let (machines, volumes) = (count(made.machines, "machine"), count(made.volumes, "volume"));
    call.report.note(&format!("the state was made anew, with {machines} and {volumes}"));
    if made.unknown > 0 {
        let folders = count(made.unknown, "machine folder");
        call.report.warn(&format!("{folders} could not be told whose; see `msb doctor`"));
    }
    Ok(())
}

fn remembered(context: &Context) -> Option<String> {
    let driver = Drivers::of(context).remembered()?;
    Some(said(driver.name, driver.accelerator))
}

fn base(call: &Call) -> Result<Option<String>, Failures> {
    let Some(mut store) = call.engine.store_read_only()? else { return Ok(None) };
    let found = store
        .catalog()
        .find(BASE)
        .map_err(|error| Failure::of("msb::state::unusable", "state", &error))?;
    let good =
        found.filter(|entry| call.engine.images_home().good_root(&entry.root_digest).is_some());
    Ok(good.map(|entry| entry.manifest_digest))
}

/// Makes what is missing, and says of each part whether it was there.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let (mut rows, mut missing, mut failures) = (Vec::new(), false, Vec::new());
    call.block_on(async {
        for part in PARTS {
            let started = call.context.clock.elapsed();
            let (word, detail) = match part.present(call) {
                Err(Failures(all)) => {
                    failures.extend(all);
                    ("failed", String::new())
                }
                Ok(Some(detail)) => ("present", detail),
                Ok(None) if args.check => {
                    missing = true;
                    ("missing", String::new())
                }
                Ok(None) => match part.make(call).await {
                    Ok(()) => ("done", part.present(call).ok().flatten().unwrap_or_default()),
                    Err(Failures(all)) => {
                        failures.extend(all);
                        ("failed", String::new())
                    }
                },
            };
            let spent = call.context.clock.elapsed().saturating_sub(started);
            if call.report.is_text() {
                let line = format!("{word:<8} {:<8} {detail}", part.name());
                call.report.line(line.trim_end());
            }
            rows.push(json!({
                "id": part.name(), "result": word, "detail": detail,
                "duration_ms": super::outcome::ms(spent),
            }));
        }
    })?;
    if !call.report.is_text() {
        call.report.document(&json!({
            "ok": failures.is_empty() && !missing, "parts": rows,
        }));
    }
    if !failures.is_empty() {
        return Err(Failures(failures));
    }
    Ok(u8::from(missing))
}
