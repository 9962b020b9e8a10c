//! What is printed resolves to what it was printed from, whatever that is.

mod made;

use std::collections::BTreeSet;

use made::Maker;

use super::*;
use crate::change::every_field;
use crate::name::InstanceName;
use crate::project::{Body, External, Sandbox, VolumeKind};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::keys::{Key, Shape, Status, TOP, find};
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::print::{self, Order};
use crate::sandboxfile::resolve::{Failed, ResolveInputs, resolve};
use crate::sandboxfile::source::{Format, SourceFile};
use crate::units::Bytes;

const FOLDER: &str = "/home/ana/acme $${x}";

fn read(text: &str, format: Format) -> Result<Project, Box<Failed>> {
    let file = SourceFile { path: "f".into(), bytes: text.as_bytes().to_vec(), format };
    let (folder, home) = (FOLDER.into(), "/home/ana".into());
    let limits = Limits { file_bytes: 64 << 20, total_bytes: 64 << 20, ..Limits::default() };
    let environment = [("HOST".to_owned(), "2".to_owned())].into();
    let inputs = ResolveInputs { folder, home, limits, environment, ..ResolveInputs::default() };
    resolve(&[file], &inputs).map(|resolved| resolved.project)
}

fn project(text: &str, format: Format) -> Project {
    read(text, format).unwrap_or_else(|failed| panic!("{}\n{text}", failed.plain()))
}

/// Returns a project as text of that format; `None` is JSON.
fn printed(
    project: &Project,
    format: Option<Format>,
    (fields, paths): (Fields, Paths<'_>),
) -> String {
    let tree = Writer::new(project, fields, paths).tree().unwrap();
    let written = match format {
        Some(format) => print::tree(tree, format, Order::Table),
        None => print::json_tree(tree, Order::Table).map(|value| print::json_text(&value)),
    };
    written.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn kdl(project: &Project) -> String {
    printed(project, Some(Format::Kdl), (Fields::Changed, Paths::Absolute))
}

/// Every way of printing: the fields, and the paths.
const WAYS: [(Fields, Paths<'_>); 4] = [
    (Fields::Changed, Paths::Absolute),
    (Fields::All, Paths::Absolute),
    (Fields::Changed, Paths::Below(FOLDER)),
    (Fields::All, Paths::Below(FOLDER)),
];

/// Holds that a project survives every way of printing it; returns its shortest form.
fn check(expected: &Project) -> String {
    WAYS.into_iter().for_each(|way| survives(expected, way));
    kdl(expected)
}

fn survives(expected: &Project, way: (Fields, Paths<'_>)) {
    for format in [Some(Format::Kdl), Some(Format::Yaml), None] {
        let text = printed(expected, format, way);
        let found = project(&text, format.unwrap_or(Format::Yaml));
        assert!(found == *expected, "{way:?}\n{text}\n{expected:#?}\n{found:#?}");
    }
}

#[test]
fn sf_x3_every_example_is_printed_as_a_file_that_says_the_same() {
    for (format, text) in [
        (Format::Kdl, include_str!("../../../../../examples/hello/Sandboxfile")),
        (Format::Kdl, include_str!("../../../../../examples/web-and-db/Sandboxfile")),
        (Format::Yaml, include_str!("../../../../../examples/ci-job/Sandboxfile.yaml")),
        (Format::Kdl, include_str!("../../../../../Sandboxfile.example")),
        (Format::Kdl, include_str!("../../resolve/worked_example/Sandboxfile.kdl")),
    ] {
        check(&project(text, format));
    }
}

#[test]
fn sf_x3_projects_made_by_chance_survive_and_use_every_key() {
    let (mut good, mut used) = (0, BTreeSet::new());
    for seed in 0..500 {
        let tree = Maker::new(seed).file();
        let text = print::tree(tree, Format::Kdl, Order::Written)
            .unwrap_or_else(|problems| panic!("seed {seed}: {problems:#?}"));
        let Ok(project) = read(&text, Format::Kdl) else { continue };
        good += 1;
        WAYS.into_iter().skip(good % WAYS.len()).take(1).for_each(|way| survives(&project, way));
        let written = kdl(&project);
        let document = Group::read(&written, Format::Kdl, &Limits::default()).unwrap();
        keys_of(&document, TOP, "", &mut used);
    }
    assert!(good > 250, "{good} of the files are sound");
    let mut all = BTreeSet::new();
    every_key(TOP, "", &mut all);
    let missing: Vec<&String> = all.difference(&used).collect();
    assert!(
        missing.is_empty(),
        "keys that nothing was made for, or that are not printed: {missing:?}"
    );
}

/// What is gone once a file is resolved, and what is the same whatever is written.
const NOT_PRINTED: &[&str] = &["var", "template", "include", "from", "remove", "format", "update"];

fn every_key(keys: &'static [Key], path: &str, all: &mut BTreeSet<String>) {
    for key in keys {
        // What is set for all of them stands in each sandbox; jobs have the keys of sandboxes.
        let is_shared = path.is_empty() && ["network", "metrics", "job"].contains(&key.name);
        if NOT_PRINTED.contains(&key.name) || key.status == Status::NotYet || is_shared {
            continue;
        }
        let path = format!("{path}/{}", key.name);
        every_key(below(&key.shape), &path, all);
        all.insert(path);
    }
}

fn below(shape: &Shape) -> &'static [Key] {
    match *shape {
        Shape::Scalar(_) | Shape::List(_) => &[],
        Shape::Map { value, .. } => below(value),
        Shape::Line { attributes: keys, .. }
        | Shape::Tagged { attributes: keys, .. }
        | Shape::Block { keys, .. }
        | Shape::Keyed { keys, .. }
        | Shape::Rows(keys) => keys,
    }
}

fn keys_of(group: &Group<'_>, keys: &'static [Key], path: &str, used: &mut BTreeSet<String>) {
    for item in &group.items {
        let name = if item.key.name == "job" { "sandbox" } else { item.key.name };
        let path = format!("{path}/{name}");
        let keys = find(keys, item.key.name, false).map_or(&[] as &[Key], |key| below(&key.shape));
        let mut inner = |group: &Group<'_>| keys_of(group, keys, &path, used);
        match &item.content {
            Content::Group(group) => inner(group),
            Content::Rows(rows) => rows.iter().for_each(inner),
            Content::Map(members) | Content::Keyed(members) | Content::Tagged(members) => {
                members.iter().filter_map(Member::group).for_each(inner);
            }
            Content::Scalar(_) | Content::List(_) | Content::Null(_) => {}
        }
        used.insert(path);
    }
}

fn alone(sandbox: &Sandbox) -> Project {
    let mut project = Project::empty("acme".parse().unwrap(), FOLDER.into());
    project.secrets.clone_from(&sandbox.secrets);
    project.sandboxes.insert("web".parse().unwrap(), Body::of(sandbox.clone()));
    project
}

#[test]
fn every_field_of_a_sandbox_is_printed() {
    for (path, before, after) in every_field::edited() {
        assert_ne!(kdl(&alone(&before)), kdl(&alone(&after)), "{path}");
    }
}

#[test]
fn every_field_of_a_volume_a_definition_and_a_project_is_printed() {
    let base = project(
        "project \"acme\"\nvolume \"v\" { kind \"disk\"; size \"1GiB\" }\n\
         sandbox \"web\" { image \"x:1\"; replicas 2 }\njob \"none\" { image \"x:1\"; replicas 0 }",
        Format::Kdl,
    );
    let name = |text: &str| text.parse::<SandboxName>().unwrap();
    type Edit = Box<dyn Fn(&mut Project)>;
    let volume = |edit: fn(&mut Volume)| -> Edit {
        Box::new(move |project| project.volumes.values_mut().for_each(edit))
    };
    let definition = |edit: fn(&mut Definition)| -> Edit {
        Box::new(move |project| edit(project.definitions.get_mut("web").unwrap()))
    };
    let edits: Vec<Edit> = vec![
        volume(|v| v.kind = Some(VolumeKind::Dir)),
        volume(|v| v.size = Some(Bytes::gib(2))),
        volume(|v| v.quota = Some(Quota::None)),
        volume(|v| v.ensure = Ensure::Create),
        volume(|v| v.external = Some(External::parse("v").unwrap())),
        volume(|v| v.external = Some(External::parse("other/v").unwrap())),
        volume(|v| drop(v.labels.insert("a".into(), "b".into()))),
        volume(|v| v.protect = true),
        volume(|v| v.moved_from = Some("old".parse().unwrap())),
        definition(|d| d.replicas = Some(3)),
        definition(|d| d.profiles.extend(["dev".to_owned()])),
        definition(|d| d.moved_from = Some("api".parse().unwrap())),
        definition(|d| d.ignore_drift.extend(["memory".to_owned()])),
        definition(|d| {
            let word = |text: &str| vec![text.to_owned()];
            let written = crate::project::Written {
                key: "user".into(),
                words: word("u${replica.index}"),
                fields: Vec::new(),
            };
            d.marks.insert("user".into(), vec![written]);
        }),
        Box::new(|p| p.name = "other".parse().unwrap()),
        Box::new(|p| drop(p.labels.insert("a".into(), "b".into()))),
        Box::new(|p| p.wait_timeout = None),
        Box::new(|p| p.driver = DriverChoice::Qemu),
        Box::new(|p| p.protect_config = false),
        Box::new(move |p| p.definitions.get_mut(&name("none")).unwrap().kind = Kind::Service),
    ];
    let before = kdl(&base);
    let mut seen = BTreeSet::from([before]);
    for (number, edit) in edits.iter().enumerate() {
        let mut after = base.clone();
        edit(&mut after);
        assert!(seen.insert(kdl(&after)), "edit {number} is not printed");
    }
}

#[test]
fn the_shortest_form_is_the_one_that_was_reviewed() {
    let text = include_str!("tests/resolved.in.kdl");
    let project = project(text, Format::Kdl);
    assert_eq!(check(&project), include_str!("tests/resolved.kdl"), "{}", kdl(&project));
}

#[test]
fn sf_r5_what_differs_from_instance_to_instance_stays_one_definition() {
    let found = check(&project(
        "sandbox \"web\" { image \"x:1\"; replicas 3; user \"root\"\n\
         env { I \"$${X} $$${replica.index}\"; B \"2\" }\n\
         mount \"/d\" { dir \"./d/../e-${replica.index}\" follow-symlink=#true }\n\
         mount \"/v\" { named \"v-${replica.index}\" kind=\"disk\" size=\"1GiB\" }\n\
         depends-on \"db\" until=\"log\" pattern=\"up ${replica.index}\" }\n\
         sandbox \"db\" { image \"x:1\"; hostname \"db-${replica.index}\" }",
        Format::Kdl,
    ));
    let expected = [
        "depends-on \"db\" until=\"log\" pattern=\"up ${replica.index}\"",
        "dir \"/home/ana/acme $$$${x}/e-${replica.index}\" follow-symlink=#true",
        "I \"$${X} $$${replica.index}\"",
        "hostname \"db-${replica.index}\"",
        "replicas 3",
    ];
    for line in expected {
        assert!(found.contains(line), "{line}\n{found}");
    }
    assert_eq!(found.matches("sandbox ").count(), 2, "{found}");
    assert!(!found.contains("volume "), "a volume that comes with a mount is not written twice");
}

#[test]
fn a_definition_without_instances_keeps_all_that_it_says() {
    let found = check(&project(
        "sandbox \"web\" { image \"x:1\"; replicas 0; command #null; lifecycle { keep #true }\n\
         mount \"/d\" { dir \"./d\" }; env { I \"${replica.index}\" } }\n\
         job \"load\" { image \"x:1\"; replicas 0; command \"true\"; ready { tcp 80 } }\n\
         sandbox \"a\" { image \"x:1\"; depends-on \"load\" until=\"ready\"; depends-on \"web\" }",
        Format::Kdl,
    ));
    for line in ["command #null", "keep #true", "I \"${replica.index}\"", "job \"load\"", "tcp 80"]
    {
        assert!(found.contains(line), "{line}\n{found}");
    }
}

#[test]
fn the_gate_of_a_job_that_is_waited_for_is_written() {
    let found = check(&project(
        "job \"seed\" { image \"x:1\"; ready { agent #true } }\njob \"other\" { image \"x:1\" }\n\
         sandbox \"a\" { image \"x:1\"; depends-on \"seed\" until=\"ready\"; depends-on \"other\" }",
        Format::Kdl,
    ));
    assert_eq!(found.matches("agent #true").count(), 1, "{found}");
    assert!(found.contains("depends-on \"other\"\n"), "what holds anyway is left out\n{found}");
}

#[test]
fn the_imperative_project_has_no_name_to_print() {
    let mut adhoc = Project::empty(ProjectName::adhoc(), FOLDER.into());
    assert_eq!(kdl(&adhoc), "");
    adhoc.volumes.insert("v".parse().unwrap(), Volume::unsaid());
    assert_eq!(kdl(&adhoc), "volume \"v\"\n");
}

#[test]
fn a_path_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut project = project("sandbox \"a\" { image \"x:1\"; env-file \"e\" }", Format::Kdl);
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff"));
    let name = InstanceName::parse("a").unwrap();
    project.sandboxes.get_mut(&name).unwrap().env_files[0].clone_from(&odd);
    let error = Writer::new(&project, Fields::Changed, Paths::Absolute).tree().unwrap_err();
    assert_eq!(error.path, odd);
    assert!(error.to_string().starts_with("a path of sandbox a is not UTF-8"));
}

#[test]
fn paths_are_written_by_the_folder_that_they_lie_below() {
    let folder = "/srv/acme";
    for (path, told) in [
        ("/srv/acme/a/b", "./a/b"),
        ("/srv/acme", "."),
        ("/srv/acme2/a", "/srv/acme2/a"),
        ("/srv", "/srv"),
    ] {
        assert_eq!(values::told(path, Paths::Below(folder)), told);
        assert_eq!(values::told(path, Paths::Absolute), path);
    }
}
