//! Whose a point is: the attributes that every point of one machine carries.
//!
//! ```text
//! ours ─ sandbox.name, … ─┐
//! labels: sandbox's over image's ─ reserved ones dropped, cut, at most 64 ─┼─▶ encoded once
//! attributes of the file ─┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use prost::bytes::Bytes;
use schema::project::{
    LABEL_KEY_BYTES_MAX as KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX as VALUE_BYTES_MAX, RESERVED_LABELS,
};

use super::messages::{attribute, counted};

/// How many labels a point carries.
const LABELS_MAX: usize = 64;

/// The attributes of one machine's points, encoded; shared by all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// As people call it: `shop/web[0]`.
    pub name: String,
    /// Encoded attributes.
    pub attributes: Vec<Bytes>,
    /// How many labels were left out because there were too many.
    pub left_out: usize,
}

/// What is known of a machine that points tell of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Its project.
    pub project: &'a str,
    /// Its sandbox.
    pub sandbox: &'a str,
    /// Which of several.
    pub instance: Option<u32>,
    /// Its machine's id.
    pub id: &'a str,
    /// Who runs it.
    pub driver: &'a str,
    /// Which run of it this is, where that is wanted.
    pub run: Option<&'a str>,
    /// The process id of its runtime, where that is wanted.
    pub pid: Option<u32>,
}

/// Labels, and which of them may be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    /// Those of its image, unless no labels are wanted.
    pub of_image: Option<&'a BTreeMap<String, String>>,
    /// Its own, unless no labels are wanted.
    pub own: Option<&'a BTreeMap<String, String>>,
    /// Keys that its file keeps back.
    pub kept_back: Option<&'a BTreeSet<String>>,
    /// Keys that this exporter keeps back.
    pub excluded: &'a BTreeSet<String>,
    /// Constants of its file.
    pub constants: Option<&'a BTreeMap<String, String>>,
}

impl Identity {
    /// Returns what every point of a machine carries.
    #[must_use]
    pub(super) fn new(facts: Facts<'_>, labels: Labels<'_>) -> Self {
        let Facts { project, sandbox, instance, id, driver, run, pid } = facts;
        let index = instance.map(|index| index.to_string());
        let texts = [
            ("sandbox.name", Some(sandbox)),
            ("sandbox.project", Some(project)),
            ("sandbox.instance", index.as_deref()),
            ("sandbox.id", Some(id)),
            ("sandbox.driver", Some(driver)),
            ("sandbox.run_id", run),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some(attribute(key, value?)));
        let pid = pid.map(|pid| counted("sandbox.pid", i64::from(pid)));
        let (told, left_out) = told(labels);
        let told = told.iter().map(|(key, value)| attribute(key, value));
        let name = match instance {
            None => format!("{project}/{sandbox}"),
            Some(index) => format!("{project}/{sandbox}[{index}]"),
        };
        Self { name, attributes: texts.chain(pid).chain(told).collect(), left_out }
    }

    /// Returns how long its attributes are, encoded.
    #[must_use]
    pub(super) fn bytes(&self) -> usize {
        self.attributes.iter().map(|attribute| attribute.len() + 4).sum()
    }
}

/// Returns the labels that are told, with the constants of the file over them, and how many are not.
fn told(labels: Labels<'_>) -> (BTreeMap<String, String>, usize) {
    let Labels { of_image, own, kept_back, excluded, constants } = labels;
    let is_kept_back =
        |key: &String| excluded.contains(key) || kept_back.is_some_and(|keys| keys.contains(key));
    let given = [of_image, own].into_iter().flatten().flatten();
    let given = given.filter(|(key, _)| !is_kept_back(key));
    let all: BTreeMap<String, String> = given.filter_map(clean).collect();
    let left_out = all.len().saturating_sub(LABELS_MAX);
    let mut told: BTreeMap<String, String> = all.into_iter().take(LABELS_MAX).collect();
    told.extend(constants.into_iter().flatten().filter_map(clean));
    (told, left_out)
}

/// Returns a label as it may be told; `None` where it is none of its owner's to give.
fn clean((key, value): (&String, &String)) -> Option<(String, String)> {
    let key = cut(key, KEY_BYTES_MAX);
    let is_reserved = RESERVED_LABELS.iter().any(|prefix| key.starts_with(prefix));
    (!key.is_empty() && !is_reserved).then(|| (key, cut(value, VALUE_BYTES_MAX)))
}

/// Returns text without controls, cut at the last character that fits.
fn cut(text: &str, bytes_max: usize) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
    kept.truncate(kept.floor_char_boundary(bytes_max));
    kept
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::messages::{Any, KeyValue};
    use super::*;

    const FACTS: Facts<'static> = Facts {
        project: "shop",
        sandbox: "web",
        instance: Some(0),
        id: "00112233aabbccdd",
        driver: "qemu",
        run: None,
        pid: None,
    };

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn set(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    fn read(identity: &Identity) -> Vec<(String, String)> {
        let read = identity.attributes.iter().map(|bytes| {
            let KeyValue { key, value } = KeyValue::decode(bytes.clone()).unwrap();
            match value.unwrap().value.unwrap() {
                Any::Text(text) => (key, text),
                Any::Whole(number) => (key, number.to_string()),
                Any::Flag(is) => (key, is.to_string()),
            }
        });
        read.collect()
    }

    fn labels_of(labels: Labels<'_>) -> Vec<(String, String)> {
        let ours = 5;
        read(&Identity::new(FACTS, labels)).split_off(ours)
    }

    #[test]
    fn rt_11_6_a_point_says_whose_it_is() {
        let nothing = set(&[]);
        let none = Labels {
            of_image: None,
            own: None,
            kept_back: None,
            excluded: &nothing,
            constants: None,
        };
        let identity = Identity::new(FACTS, none);
        assert_eq!(identity.name, "shop/web[0]");
        let want = [
            ("sandbox.name", "web"),
            ("sandbox.project", "shop"),
            ("sandbox.instance", "0"),
            ("sandbox.id", "00112233aabbccdd"),
            ("sandbox.driver", "qemu"),
        ];
        assert_eq!(read(&identity), want.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let more = Facts { instance: None, run: Some("00112233aabbccdd.2"), pid: Some(7), ..FACTS };
        let identity = Identity::new(more, none);
        assert_eq!(identity.name, "shop/web");
        let more = read(&identity);
        assert!(more.iter().all(|(key, _)| key != "sandbox.instance"), "{more:?}");
        assert_eq!(more[4], ("sandbox.run_id".to_owned(), "00112233aabbccdd.2".to_owned()));
        assert_eq!(more[5], ("sandbox.pid".to_owned(), "7".to_owned()));
    }

    #[test]
    fn rt_11_6_labels_of_the_sandbox_stand_over_those_of_its_image_and_attributes_over_both() {
        let image = map(&[("a", "image"), ("b", "image"), ("c", "image"), ("build", "77")]);
        let own = map(&[("b", "own"), ("c", "own"), ("commit", "f00")]);
        let constants = map(&[("c", "constant")]);
        let (kept_back, excluded) = (set(&["commit"]), set(&["build"]));
        let labels = Labels {
            of_image: Some(&image),
            own: Some(&own),
            kept_back: Some(&kept_back),
            excluded: &excluded,
            constants: Some(&constants),
        };
        let want = [("a", "image"), ("b", "own"), ("c", "constant")];
        assert_eq!(labels_of(labels), Vec::from_iter(map(&want)));
        let no_labels = Labels { of_image: None, own: None, ..labels };
        assert_eq!(labels_of(no_labels), Vec::from_iter(map(&[("c", "constant")])));
    }

    #[test]
    fn rt_11_6_labels_are_cleaned_and_cut() {
        let long = "ü".repeat(1000);
        let key = "k".repeat(200);
        let rows = [
            ("sandbox.name", "mine", None),
            ("microsandbox.cpu", "mine", None),
            ("service.name", "mine", None),
            ("host.name", "mine", None),
            ("msb.project", "mine", None),
            ("service", "kept", Some(("service", "kept"))),
            ("\u{1b}host.name", "mine", None),
            ("esc\u{1b}[2J\0", "a\u{7}\nb", Some(("esc[2J", "ab"))),
            (&key[..], &long[..], Some((&key[..128], &long[..1024]))),
        ];
        let excluded = set(&[]);
        for (key, value, want) in rows {
            let own = map(&[(key, value)]);
            let labels = Labels {
                of_image: None,
                own: Some(&own),
                kept_back: None,
                excluded: &excluded,
                constants: None,
            };
            let want: Vec<_> =
                want.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
            assert_eq!(labels_of(labels), want, "{key:?}");
        }
    }

    #[test]
    fn rt_11_6_a_point_carries_64_labels_and_the_rest_are_counted() {
        let own: BTreeMap<_, _> = (0..70).map(|n| (format!("k{n:02}"), "v".to_owned())).collect();
        let (excluded, constants) = (set(&[]), map(&[("zz", "constant")]));
        let labels = Labels {
            of_image: None,
            own: Some(&own),
            kept_back: None,
            excluded: &excluded,
            constants: Some(&constants),
        };
        let identity = Identity::new(FACTS, labels);
        assert_eq!(identity.left_out, 6);
        let told = labels_of(labels);
        assert_eq!((told.len(), told[63].0.as_str(), told[64].0.as_str()), (65, "k63", "zz"));
    }
}
