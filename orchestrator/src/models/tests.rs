//! A model stands for a reading, and for no other one.

use std::fmt::Write as _;

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::resolve::resolve;
use schema::sandboxfile::source::Format;

use super::*;
use crate::scratch::Scratch;
use crate::store::Store;

/// The example that shows every key.
const WORKED: &str = include_str!("../../../Sandboxfile.example");

fn home() -> Scratch {
    let home = Scratch::new();
    drop(Store::open(home.path(), 0).unwrap());
    home
}

fn files(text: &str) -> Vec<SourceFile> {
    let bytes = text.as_bytes().to_vec();
    vec![SourceFile { path: "Sandboxfile".into(), bytes, format: Format::Kdl }]
}

fn many(count: usize, head: &str) -> String {
    let mut text = format!("{head}\n");
    for at in 0..count {
        let node = "image \"alpine:3.20\"; replicas 2; env { AT \"";
        writeln!(text, "sandbox \"s{at}\" {{ {node}{at:0150}\" }} }}").unwrap();
    }
    text
}

fn inputs() -> ResolveInputs {
    ResolveInputs { folder: "/srv/shop".into(), limits: Limits::default(), ..Default::default() }
}

#[test]
fn sf_r10_what_was_read_is_recalled_whole() {
    let home = home();
    let padded = format!("{WORKED}\n{}", "// a line that says nothing\n".repeat(3000));
    for text in [many(450, "var \"A\" default=\"1\""), padded] {
        let (files, inputs) = (files(&text), inputs());
        let model = Model::of(home.path(), &files, &inputs).expect("it is worth one");
        assert!(model.recall().is_none());
        let read = match resolve(&files, &inputs) {
            Ok(read) => read,
            Err(failed) => panic!("{:?}", failed.problems),
        };
        let warned = Resolved { warnings: Vec::new(), ..read };
        model.keep(&warned, files.len());
        let recalled = model.recall().expect("it was kept");
        assert_eq!(recalled.project, warned.project);
        assert_eq!(recalled.files, warned.files);
        let names = |read: &Resolved| -> Vec<_> {
            read.variables.iter().map(|told| (told.name.clone(), told.source)).collect()
        };
        assert_eq!(names(&recalled), names(&warned));
        for (name, body) in &recalled.project.sandboxes {
            assert_eq!(body.digest(), Sandbox::clone(body).digest(), "{name}");
        }
    }
}

#[test]
fn sf_r10_another_byte_variable_flag_or_folder_is_another_reading() {
    let home = home();
    let text = many(450, "var \"A\" from-env=\"A\" default=\"1\"");
    let (read_from, read_with) = (files(&text), inputs());
    let model = Model::of(home.path(), &read_from, &read_with).unwrap();
    model.keep(
        &resolve(&read_from, &read_with).unwrap_or_else(|failed| panic!("{:?}", failed.problems)),
        1,
    );
    let recalls = |files: &[SourceFile], inputs: &ResolveInputs| {
        Model::of(home.path(), files, inputs).is_some_and(|model| model.recall().is_some())
    };
    assert!(recalls(&read_from, &read_with));
    assert!(!recalls(&files(&(text + " ")), &read_with));
    let others = [
        ResolveInputs { folder: "/srv/other".into(), ..inputs() },
        ResolveInputs { home: "/home/ana".into(), ..inputs() },
        ResolveInputs { vars: [("A".to_owned(), "2".to_owned())].into(), ..inputs() },
        ResolveInputs { environment: [("A".to_owned(), "2".to_owned())].into(), ..inputs() },
        ResolveInputs { profiles: ["dev".to_owned()].into(), ..inputs() },
        ResolveInputs { tracing: Tracing::On, ..inputs() },
    ];
    for other in &others {
        assert!(!recalls(&read_from, other), "{other:?}");
    }
}

#[test]
fn sf_r10_a_model_that_is_damaged_is_none() {
    let home = home();
    let (files, inputs) = (files(&many(450, "")), inputs());
    let model = Model::of(home.path(), &files, &inputs).unwrap();
    model.keep(
        &resolve(&files, &inputs).unwrap_or_else(|failed| panic!("{:?}", failed.problems)),
        1,
    );
    let path = model.folder().join(&model.name);
    let whole = fs::read(&path).unwrap();
    for at in [0, DIGEST, whole.len() / 2, whole.len() - 1] {
        let mut other = whole.clone();
        other[at] ^= 1;
        atomic::write(&path, &other).unwrap();
        assert!(model.recall().is_none(), "{at}");
        atomic::write(&path, &whole[..at]).unwrap();
        assert!(model.recall().is_none(), "cut at {at}");
    }
    atomic::write(&path, &whole).unwrap();
    assert!(model.recall().is_some());
}

#[test]
fn sf_r10_small_files_and_homes_without_a_state_have_no_model() {
    let bare = Scratch::new();
    assert!(Model::of(bare.path(), &files(&many(9, "")), &inputs()).is_none());
    let (files, inputs) = (files(&many(450, "")), inputs());
    let model = Model::of(bare.path(), &files, &inputs).unwrap();
    model.keep(
        &resolve(&files, &inputs).unwrap_or_else(|failed| panic!("{:?}", failed.problems)),
        1,
    );
    assert!(!model.folder().exists());
}

#[test]
fn sf_r10_old_models_make_room() {
    let home = home();
    let folder = home.path().join("cache/models");
    fs::create_dir_all(&folder).unwrap();
    for at in 0..MODELS_MAX + 3 {
        let file = fs::File::create(folder.join(format!("{at}"))).unwrap();
        let age = std::time::Duration::from_secs(at as u64);
        file.set_modified(SystemTime::UNIX_EPOCH + age).unwrap();
    }
    make_room(&folder).unwrap();
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        (left, folder.join("2").exists(), folder.join("3").exists()),
        (MODELS_MAX, false, true)
    );
}
