//! Which samples are told, of whom, and how often.

use std::time::Duration;

use schema::launch::DriverName;
use schema::name::{InstanceName, ProjectName};
use schema::project::{ImageRef, Kind, Sandbox};

use super::*;
use crate::context::Environment;
use crate::exporter::options::{GatheringFlags, Variables};
use crate::exporter::transport::Signal;
use crate::machines::{Folder, Machine};
use crate::scratch::Scratch;

const ID: &str = "00112233aabbccdd";

fn gatherer(home: &Scratch, flags: GatheringFlags) -> Gatherer {
    let environment = Environment::default();
    let mut variables = Variables::new(&environment, Signal::Metrics);
    Gatherer::new(home.path(), Gathering::of(flags, &mut variables), Emit::default())
}

fn living(labels: &[(&str, &str)]) -> Arc<Living> {
    let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
    sandbox.labels =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let folder = Folder::of(Path::new("/nowhere"), ID);
    Arc::new(Living {
        project: ProjectName::parse("shop").unwrap(),
        name: "web".parse::<InstanceName>().unwrap(),
        machine: Machine::new(folder, ID.to_owned(), "n".to_owned()),
        driver: DriverName::Process,
        pid: 7,
        image_digest: None,
        definition: Some(sandbox.into()),
    })
}

fn sample(at_ms: u64) -> Arc<Sample> {
    Arc::new(Sample { sampled_at_ms: at_ms, boot: 1, ..Sample::default() })
}

/// Returns the moments that are told of what one machine told.
fn told(gatherer: &mut Gatherer, who: &Arc<Living>, figures: Figures, now_ms: u64) -> Vec<u64> {
    let one = Sampled { who: Arc::clone(who), figures };
    let gathered = gatherer.take(&[one], now_ms);
    gathered.collection.next(usize::MAX).iter().map(|point| point.at_ms).collect()
}

#[test]
fn rt_11_7_a_sample_is_told_once_and_the_last_one_too() {
    let home = Scratch::new();
    let (mut gatherer, who) = (gatherer(&home, GatheringFlags::default()), living(&[]));
    assert_eq!(told(&mut gatherer, &who, Figures::New(sample(1000)), 1000), [1000]);
    assert_eq!(told(&mut gatherer, &who, Figures::Same(sample(1000)), 2000), [0; 0]);
    assert_eq!(told(&mut gatherer, &who, Figures::New(sample(1000)), 2500), [0; 0]);
    assert_eq!(told(&mut gatherer, &who, Figures::Silent, 2600), [0; 0]);
    assert_eq!(told(&mut gatherer, &who, Figures::New(sample(3000)), 3000), [3000]);
    assert_eq!(told(&mut gatherer, &who, Figures::Gone(Some(sample(3000))), 4000), [0; 0]);
    assert!(gatherer.known.is_empty(), "nothing is kept of who has ended");
    assert_eq!(told(&mut gatherer, &who, Figures::New(sample(5000)), 5000), [5000]);
    assert_eq!(told(&mut gatherer, &who, Figures::Gone(Some(sample(6000))), 6000), [6000]);
    assert_eq!(told(&mut gatherer, &who, Figures::Gone(None), 7000), [0; 0]);
    assert!(gatherer.known.is_empty());
}

#[test]
fn an_old_sample_is_not_told_where_age_counts() {
    let home = Scratch::new();
    for (age, want) in [(None, 0), (Some(0), 1), (Some(100), 1), (Some(59), 0)] {
        let sample_age_max = age.map(Duration::from_secs);
        let mut gatherer =
            gatherer(&home, GatheringFlags { sample_age_max, ..GatheringFlags::default() });
        let told = told(&mut gatherer, &living(&[]), Figures::New(sample(1000)), 61_000);
        assert_eq!(told.len(), want, "{age:?}");
    }
}

#[test]
fn only_those_are_asked_that_were_asked_for() {
    let home = Scratch::new();
    let who = living(&[("tier", "web"), ("team", "")]);
    let pair = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    let project = |name: &str| vec![ProjectName::parse(name).unwrap()];
    for (with_labels, projects, want) in [
        (vec![], vec![], true),
        (vec![pair("tier", None)], project("shop"), true),
        (vec![pair("tier", Some("web")), pair("team", Some(""))], vec![], true),
        (vec![pair("tier", Some("db"))], vec![], false),
        (vec![pair("tier", None), pair("none", None)], vec![], false),
        (vec![], project("other"), false),
    ] {
        let flags = GatheringFlags { with_labels, projects, ..GatheringFlags::default() };
        let gatherer = gatherer(&home, flags.clone());
        assert_eq!(is_meant(&gatherer.wish, &who), want, "{flags:?}");
    }
}

#[test]
fn labels_that_change_are_told_from_then_on() {
    let home = Scratch::new();
    let mut gatherer = gatherer(&home, GatheringFlags::default());
    let mut names = Vec::new();
    for (at, tier) in [(1, "a"), (2, "a"), (3, "b")] {
        let one = Sampled { who: living(&[("tier", tier)]), figures: Figures::New(sample(at)) };
        let gathered = gatherer.take(&[one], at);
        names.push(Arc::clone(&gathered.collection.next(usize::MAX)[0].who));
    }
    assert!(Arc::ptr_eq(&names[0], &names[1]), "one set is shared by all of its points");
    assert_ne!(names[1].attributes, names[2].attributes);
}

#[test]
fn too_many_labels_are_told_of_once() {
    let home = Scratch::new();
    let mut gatherer = gatherer(&home, GatheringFlags::default());
    let keys: Vec<String> = (0..66).map(|n| format!("k{n}")).collect();
    let labels: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
    let who = living(&labels);
    let mut cut = |at| {
        let one = Sampled { who: Arc::clone(&who), figures: Figures::New(sample(at)) };
        gatherer.take(&[one], at).cut
    };
    assert_eq!(cut(1), [("shop/web".to_owned(), 2)]);
    assert_eq!(cut(2), []);
}

#[test]
fn r20_a_thousand_machines_that_came_and_went_leave_nothing_behind() {
    let home = Scratch::new();
    let mut gatherer = gatherer(&home, GatheringFlags::default());
    for n in 0..1000 {
        let mut one = Living::clone(&living(&[]));
        let id = format!("{n:016x}");
        one.machine = Machine::new(Folder::of(Path::new("/nowhere"), &id), id, "n".to_owned());
        let one = Sampled { who: Arc::new(one), figures: Figures::New(sample(n)) };
        drop(gatherer.take(&[one], n));
    }
    assert_eq!(gatherer.known.len(), 1);
    drop(gatherer.take(&[], 1000));
    assert!(gatherer.known.is_empty());
}

#[test]
fn labels_that_cannot_be_read_lose_no_sample_and_tell_none_twice() {
    let home = Scratch::new();
    let mut gatherer = gatherer(&home, GatheringFlags::default());
    let plain = living(&[]);
    assert_eq!(told(&mut gatherer, &plain, Figures::New(sample(1000)), 1000), [1000]);
    let database = crate::store::path(home.path());
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    crate::store::atomic::write(&database, b"no database at all").unwrap();
    // Of another image by now, whose labels lie in a state that is damaged.
    let who = Arc::new(Living { image_digest: Some("sha256:0".into()), ..Living::clone(&plain) });
    let mut of_both = |at| {
        let mut other = Living::clone(&living(&[]));
        let id = "ffeeddccbbaa9988";
        other.machine = Machine::new(Folder::of(Path::new("/nowhere"), id), id.into(), "n".into());
        let figures = Figures::New(sample(at));
        let both = [Arc::clone(&who), Arc::new(other)];
        let both = both.map(|who| Sampled { who, figures: figures.clone() });
        let gathered = gatherer.take(&both, at);
        (gathered.collection.next(usize::MAX).len(), gathered.labels.is_ok())
    };
    assert_eq!(of_both(2000), (1, false), "the other one is told of");
    std::fs::remove_file(&database).unwrap();
    assert_eq!(of_both(2000), (1, true), "as soon as it can be");
    assert_eq!(of_both(2000), (0, true));
}
