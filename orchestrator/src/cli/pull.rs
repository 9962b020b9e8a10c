//! Bring images from registries

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use schema::project::{ImageRef, Platform};
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::load::short;
use super::outcome::{self, ms};
use super::registry;
use crate::context::Clock as _;
use crate::images::{PullError, Pulled, Step, Wanted, pull};
use crate::plan::Wish;
use crate::registry::Registry;
use crate::report::human;
use crate::report::progress::{Event, Follower};

/// Bring images from registries
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images
    #[arg(value_name = "REF", required = true, value_parser = reference)]
    references: Vec<ImageRef>,
    /// Fetch again what is there [default: keep it]
    #[arg(long)]
    force: bool,
    /// The machine they are for [default: linux and this host's processor]
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// Speak plain HTTP to the registries [default: to loopback alone]
    #[arg(long)]
    insecure: bool,
    /// Trust these certificates too, a file of PEM [default: the system's]
    #[arg(long, value_name = "PEM")]
    ca_certs: Option<PathBuf>,
}

/// How many images come at once.
const AT_ONCE: usize = 4;
/// Bytes are told about every so many.
const TOLD_EVERY_BYTES: u64 = 16 << 20;

fn reference(text: &str) -> Result<ImageRef, String> {
    match ImageRef::parse(text).map_err(|error| error.to_string())? {
        ImageRef::Builtin(_) => Err("it comes with msb and is never fetched".to_owned()),
        name @ ImageRef::Registry(_) => Ok(name),
    }
}

fn platform(text: &str) -> Result<Platform, String> {
    let names = Platform::ALL.map(Platform::as_str);
    let found = Platform::ALL.into_iter().find(|platform| platform.as_str() == text);
    found.ok_or_else(|| format!("write one of {}", names.join(", ")))
}

/// What a pull tells while it goes on, by the number of its image.
enum Said {
    Step(usize, Step),
    Ended(usize, Result<Pulled, PullError>, Duration),
}

/// Pulls every image; one that fails keeps no other from coming.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let ca_certs = args.ca_certs.as_deref().map(|path| call.context.absolute(path));
    let settings = registry::settings(call).with_flags(args.insecure, ca_certs);
    call.context.prepared_home().map_err(Failure::from)?;
    let mut store = call.engine.store()?;
    let home = call.engine.images_home();
    let platform = args.platform.unwrap_or(Platform::host());
    let wanted: Vec<Wanted> = distinct(&args.references)
        .map(|reference| Wanted {
            reference: reference.clone(),
            digest: None,
            platform: platform.as_str().to_owned(),
            force: args.force,
            now_ms: call.context.clock.unix_ms(),
        })
        .collect();
    let mut follower = Follower::begin(&call.report, call.context.clock, "pull", None);
    follower.over(wanted.len());
    let clock = call.context.clock;
    let (registry, catalog) = (Registry::new(settings), Mutex::new(store.catalog()));
    let next = AtomicUsize::new(0);
    let work = |say: Sender<Said>| {
        while let Some((at, wanted)) = take(&next, &wanted) {
            let since = clock.elapsed();
            let tell = |step| drop(say.send(Said::Step(at, step)));
            let ended = pull(&home, &registry, wanted, &catalog, &tell);
            let spent = clock.elapsed().saturating_sub(since);
            drop(say.send(Said::Ended(at, ended, spent)));
        }
    };
    let mut came: Vec<Came> = wanted.iter().map(|_| Came::default()).collect();
    thread::scope(|scope| {
        let (say, hear) = channel();
        let at_once = call.configuration.pulls.unwrap_or(AT_ONCE);
        for _ in 0..at_once.min(wanted.len()) {
            let (say, work) = (say.clone(), &work);
            scope.spawn(move || work(say));
        }
        drop(say);
        for said in hear {
            heard(&mut follower, &wanted, &mut came, said);
        }
    });
    drop(follower);
    tell(call, came)
}

/// Asks the registries what the images of a wish are now, and fetches what is not here.
pub(crate) fn anew(call: &Call, wish: &Wish) -> Result<(), Failures> {
    let mut store = call.engine.store()?;
    let (home, registry) = (call.engine.images_home(), Registry::new(registry::settings(call)));
    let catalog = Mutex::new(store.catalog());
    for image in wish.project.sandboxes.values().filter_map(|body| body.root.image()) {
        if matches!(image.reference, ImageRef::Builtin(_)) {
            continue;
        }
        let wanted = Wanted {
            reference: image.reference.clone(),
            digest: None,
            platform: image.platform.unwrap_or(Platform::host()).as_str().to_owned(),
            force: false,
            now_ms: call.context.clock.unix_ms(),
        };
        let pulled = pull(&home, &registry, &wanted, &catalog, &|_| {});
        let pulled = pulled.map_err(|error| failed(&error))?;
        let name = short(&pulled.reference);
        pulled.notes.iter().for_each(|note| call.report.warn(&format!("{name}: {note}")));
    }
    Ok(())
}

fn take<'w>(next: &AtomicUsize, wanted: &'w [Wanted]) -> Option<(usize, &'w Wanted)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    wanted.get(at).map(|wanted| (at, wanted))
}

fn distinct(references: &[ImageRef]) -> impl Iterator<Item = &ImageRef> {
    let is_first = |at: &usize| !references[..*at].contains(&references[*at]);
    (0..references.len()).filter(is_first).map(|at| &references[at])
}

/// How far an image is, and how it ended.
#[derive(Default)]
struct Came {
    bytes: u64,
    told: u64,
    ended: Option<(Result<Pulled, PullError>, Duration)>,
}

fn heard<C: crate::context::Clock>(
    follower: &mut Follower<C>,
    wanted: &[Wanted],
    came: &mut [Came],
    said: Said,
) {
    match said {
        Said::Step(at, Step::Fetched { more, of }) => {
            let (name, one) = (wanted[at].reference.short(), &mut came[at]);
            one.bytes += more;
            if one.bytes >= one.told {
                one.told = one.bytes + TOLD_EVERY_BYTES;
                let text = format!("{} of {}", human::size(one.bytes), human::size(of));
                let more = json!({ "done_bytes": one.bytes, "total_bytes": of });
                follower.tell(&name, &Event::Doing(&text), &more);
            }
        }
        Said::Step(at, Step::Building) => {
            let name = wanted[at].reference.short();
            follower.tell(&name, &Event::Doing("making its root image"), &json!({}));
        }
        Said::Ended(at, ended, spent) => {
            let name = wanted[at].reference.short();
            let text = match &ended {
                Ok(pulled) => word(pulled).to_owned(),
                Err(error) => error.to_string(),
            };
            let event = if ended.is_ok() { Event::Done(&text) } else { Event::Failed(&text) };
            follower.tell(&name, &event, &json!({}));
            came[at].ended = Some((ended, spent));
        }
    }
}

const fn word(pulled: &Pulled) -> &'static str {
    if pulled.present { "present" } else { "pulled" }
}

fn tell(call: &Call, came: Vec<Came>) -> Ending {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for came in came {
        let Some((ended, spent)) = came.ended else { continue };
        let pulled = match ended {
            Ok(pulled) => pulled,
            Err(error) => {
                failures.push(failed(&error));
                continue;
            }
        };
        let name = short(&pulled.reference);
        pulled.notes.iter().for_each(|note| call.report.warn(&format!("{name}: {note}")));
        let word = word(&pulled);
        if call.report.is_text() {
            let digest: String = pulled.digest.chars().take("sha256:".len() + 12).collect();
            let cost = match pulled.present {
                true => String::new(),
                false => {
                    let size = human::size(pulled.downloaded_bytes);
                    format!("  {size} in {}", human::millis(ms(spent)))
                }
            };
            call.report.line(&format!("{name}  {digest}  {word}{cost}"));
        }
        rows.push(json!({
            "reference": name, "digest": pulled.digest, "result": word,
            "size_bytes": pulled.size_bytes, "downloaded_bytes": pulled.downloaded_bytes,
            "layers": pulled.layers, "duration_ms": ms(spent),
        }));
    }
    if !call.report.is_text() && (failures.is_empty() || !rows.is_empty()) {
        outcome::end(call, "pull", u8::from(!failures.is_empty()), &json!(rows));
    }
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

/// Returns what a pull's failure is to who asked for the image.
pub(crate) fn failed(error: &PullError) -> Failure {
    Failure::of(error.code(), "image", error).hint(error.hint())
}
