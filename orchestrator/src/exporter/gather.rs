//! What is new of every machine that may be told of.
//!
//! A sample is told once. A machine that has ended is told of once more, where its last sample was
//! not, and then never again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::figures::Sample;
use schema::project::Labels as Pairs;

use super::collection::{Collection, Point};
use super::identity::{Facts, Identity, Labels};
use super::options::{Emit, Gathering, LabelWish};
use crate::sampling::{Figures, Living, Sampled};
use crate::store::{Store, StoreError};

/// See the module.
#[derive(Debug)]
pub(super) struct Gatherer {
    home: PathBuf,
    wish: Gathering,
    emit: Emit,
    /// Machines that were told of, by id.
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    who: Arc<Living>,
    boot: u32,
    identity: Arc<Identity>,
    /// When the sample was taken that was told last.
    told_ms: Option<u64>,
}

/// What a tick brought, and what there is to tell of it.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The new samples.
    pub collection: Collection,
    /// Machines with more labels than a point carries, and how many are left out; once for each.
    pub cut: Vec<(String, usize)>,
    /// Whether the labels of images could be read; whose could not is told of as soon as they can.
    pub labels: Result<(), StoreError>,
}

impl Gatherer {
    /// Returns one that has told of nobody yet.
    #[must_use]
    pub(super) fn new(home: &Path, wish: Gathering, emit: Emit) -> Self {
        Self { home: home.to_owned(), wish, emit, known: BTreeMap::new() }
    }

    /// Returns what is new among what machines told, at a moment in milliseconds since 1970.
    pub(super) fn take(&mut self, told: &[Sampled], now_ms: u64) -> Gathered {
        let (mut cut, mut labels) = (Vec::new(), Ok(()));
        let mut images = Images { home: &self.home, store: None, found: BTreeMap::new() };
        let mut points = Vec::new();
        for Sampled { who, figures } in told {
            let id = who.machine.id();
            match figures {
                Figures::New(sample) | Figures::Same(sample) | Figures::Gone(Some(sample)) => {
                    let had = self.known.get(id);
                    let mut known = match self.recognise(had, who, sample, &mut images) {
                        Ok(known) => known,
                        Err(error) => {
                            labels = Err(error);
                            continue;
                        }
                    };
                    let had = had.is_some();
                    let is_new = known.told_ms != Some(sample.sampled_at_ms);
                    if is_new && self.is_young(sample, now_ms) {
                        points.push(Point::new(&known.identity, sample));
                        known.told_ms = Some(sample.sampled_at_ms);
                    }
                    if !had && known.identity.left_out > 0 {
                        cut.push((known.identity.name.clone(), known.identity.left_out));
                    }
                    match figures {
                        Figures::Gone(_) => drop(self.known.remove(id)),
                        _ => drop(self.known.insert(id.to_owned(), known)),
                    }
                }
                Figures::Gone(None) => drop(self.known.remove(id)),
                Figures::Off | Figures::Silent => {}
            }
        }
        // Whoever is not listed any more is nobody's.
        let is_listed = |id: &str| told.iter().any(|one| one.who.machine.id() == id);
        if self.known.len() > told.len() {
            self.known.retain(|id, _| is_listed(id));
        }
        Gathered { collection: Collection::new(points), cut, labels }
    }

    /// Returns what is known of a machine, made anew where that is not so any more.
    fn recognise(
        &self,
        known: Option<&Known>,
        who: &Arc<Living>,
        sample: &Sample,
        images: &mut Images<'_>,
    ) -> Result<Known, StoreError> {
        let told_ms = known.and_then(|known| known.told_ms);
        let is_same = |known: &&Known| {
            known.boot == sample.boot && (Arc::ptr_eq(&known.who, who) || known.who == *who)
        };
        if let Some(known) = known.filter(is_same) {
            return Ok(Known { who: Arc::clone(who), ..known.clone() });
        }
        let identity = Arc::new(self.identity(who, sample.boot, images)?);
        Ok(Known { who: Arc::clone(who), boot: sample.boot, identity, told_ms })
    }

    fn identity(
        &self,
        who: &Living,
        boot: u32,
        images: &mut Images<'_>,
    ) -> Result<Identity, StoreError> {
        let id = who.machine.id();
        let run = format!("{id}.{boot}");
        let facts = Facts {
            project: who.project.as_str(),
            sandbox: who.name.sandbox.as_str(),
            instance: who.name.index,
            id,
            driver: who.driver.as_str(),
            run: self.emit.run_id.then_some(run.as_str()),
            pid: self.emit.pid.then_some(who.pid),
        };
        let nobody = std::collections::BTreeSet::new();
        let definition = who.definition.as_ref();
        let metrics = definition.map(|definition| &definition.metrics);
        let excluded = match &self.wish.labels {
            LabelWish::AllBut(excluded) => Some(excluded),
            LabelWish::None => None,
        };
        let are_told = excluded.is_some() && metrics.is_none_or(|metrics| metrics.labels);
        let of_image = match &who.image_digest {
            Some(digest) if are_told => images.labels(digest)?,
            _ => None,
        };
        let labels = Labels {
            of_image: of_image.as_deref(),
            own: definition.map(|definition| &definition.labels).filter(|_| are_told),
            kept_back: metrics.map(|metrics| &metrics.exclude_labels),
            excluded: excluded.unwrap_or(&nobody),
            constants: metrics.map(|metrics| &metrics.attributes),
        };
        Ok(Identity::new(facts, labels))
    }

    fn is_young(&self, sample: &Sample, now_ms: u64) -> bool {
        let age_ms = u128::from(now_ms.saturating_sub(sample.sampled_at_ms));
        self.wish.sample_age_max.is_none_or(|max| age_ms <= max.as_millis())
    }
}

/// Tells whether a machine is one of those that were asked for.
#[must_use]
pub(super) fn is_meant(wish: &Gathering, who: &Living) -> bool {
    let labels = who.definition.as_ref().map(|definition| &definition.labels);
    let has = |(key, value): &(String, Option<String>)| {
        let found = labels.and_then(|labels| labels.get(key));
        found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
    };
    (wish.projects.is_empty() || wish.projects.contains(&who.project))
        && wish.with_labels.iter().all(has)
}

/// The labels of images, as far as they are asked for; the state is opened once, and only to read.
struct Images<'a> {
    home: &'a Path,
    store: Option<Store>,
    found: BTreeMap<String, Option<Arc<Pairs>>>,
}

impl Images<'_> {
    fn labels(&mut self, digest: &str) -> Result<Option<Arc<Pairs>>, StoreError> {
        if let Some(found) = self.found.get(digest) {
            return Ok(found.clone());
        }
        if self.store.is_none() {
            self.store = Store::open_read_only(self.home)?;
        }
        let Some(store) = &mut self.store else { return Ok(None) };
        // An image that cannot be found any more has taken its labels with it.
        let entry = store.catalog().find(&format!("@{digest}")).ok().flatten();
        let labels = entry.map(|entry| Arc::new(entry.config.labels));
        self.found.insert(digest.to_owned(), labels.clone());
        Ok(labels)
    }
}

#[cfg(test)]
mod tests;
