//! Includes and removals, from texts to project or problems.

use std::path::Path;

use super::*;
use crate::project::Project;
use crate::sandboxfile::problem::Code;
use crate::sandboxfile::source::Format;

/// Files by path; the folder of each is that of its path.
struct Texts<'t>(&'t [(&'t str, &'t str)]);

impl Includes for Texts<'_> {
    fn open(&mut self, folder: &Path, path: &str) -> Result<Included, Refused> {
        let whole = folder.join(path.trim_start_matches("./"));
        let found = self.0.iter().find(|(name, _)| Path::new("/p").join(name) == whole);
        let Some((name, text)) = found else {
            let (message, help) = (format!("{path} is not there"), "check the path".to_owned());
            return Err(Refused { code: Code::FILE_NOT_FOUND, message, help });
        };
        let format = Format::of(Path::new(name)).unwrap();
        let file = SourceFile { path: (*name).into(), bytes: text.as_bytes().to_vec(), format };
        let folder = whole.parent().unwrap().to_path_buf();
        Ok(Included { file, folder, identity: whole })
    }
}

/// Reads the first of the texts; the others are there to be included.
fn read(texts: &[(&str, &str)]) -> Result<Resolved, Box<Failed>> {
    read_layers(&texts[..1], texts, Tracing::Off)
}

fn read_layers(
    layers: &[(&str, &str)],
    texts: &[(&str, &str)],
    tracing: Tracing,
) -> Result<Resolved, Box<Failed>> {
    let files: Vec<SourceFile> = layers
        .iter()
        .map(|(name, text)| SourceFile {
            path: (*name).into(),
            bytes: text.as_bytes().to_vec(),
            format: Format::of(Path::new(name)).unwrap(),
        })
        .collect();
    let inputs = ResolveInputs { folder: "/p".into(), tracing, ..ResolveInputs::default() };
    resolve_with(&files, &inputs, &mut Texts(texts))
}

fn project(texts: &[(&str, &str)]) -> Project {
    read(texts)
        .map(|resolved| resolved.project)
        .unwrap_or_else(|failed| panic!("{}", failed.plain()))
}

fn problems(texts: &[(&str, &str)]) -> String {
    read(texts).map_or_else(|failed| failed.plain(), |found| panic!("{:?}", found.project))
}

fn fields(project: &Project, name: &str, prefix: &str) -> Vec<String> {
    let fields = project.sandboxes[&InstanceName::parse(name).unwrap()].fields();
    let wanted = fields.into_iter().filter(|(path, _)| path.starts_with(prefix));
    wanted.map(|(path, value)| format!("{path}={value}")).collect()
}

const DB: &str = r#"
project "other"
var "TAG" default="15"
var "SIZE" default="1GiB" from-env="SIZE"
metrics { interval "9s" }
template "t" { cpus 2 }
volume "data" { kind "disk"; size "${SIZE}" }
volume "shared" { external #true }
sandbox "pg" { from "t"; image "postgres:${TAG}"; mount "/d" { named "data" }
    mount "/s" { named "shared" }; mount "/c" { file "./pg.conf" }
    env { NAME "${sandbox.name} of ${project.name}" } }
job "seed" { image "postgres:${TAG}"; depends-on "pg"; replicas 2; env { I "${sandbox.instance}" } }
"#;

#[test]
fn sf_m10_an_included_file_is_a_unit_of_its_own_under_a_prefix() {
    let main = r#"
var "PG" default="16"
metrics { interval "3s" }
include "./db/Sandboxfile.kdl" { as "db"; vars { TAG "${PG}" } }
sandbox "db-pg" { memory "1GiB" }
sandbox "web" { image "x:1"; depends-on "db-pg" }
"#;
    let project = project(&[("main.kdl", main), ("db/Sandboxfile.kdl", DB)]);
    let names: Vec<String> = project.sandboxes.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["db-pg", "db-seed[0]", "db-seed[1]", "web"]);
    assert_eq!(fields(&project, "db-pg", "image"), ["image=postgres:16", "image.pull=missing"]);
    assert_eq!(fields(&project, "db-pg", "memory.size"), ["memory.size=1 GiB"]);
    assert_eq!(fields(&project, "db-pg", "cpus.count"), ["cpus.count=2"]);
    assert_eq!(fields(&project, "db-pg", "env"), ["env.NAME=\"db-pg of p\""]);
    assert_eq!(fields(&project, "db-pg", "metrics.interval"), ["metrics.interval=9s"]);
    assert_eq!(fields(&project, "web", "metrics.interval"), ["metrics.interval=3s"]);
    assert_eq!(
        fields(&project, "db-pg", "mounts./d"),
        ["mounts./d=named db-data", "mounts./d.options=rw"]
    );
    assert_eq!(fields(&project, "db-pg", "mounts./c")[0], "mounts./c=file /p/db/pg.conf");
    assert_eq!(fields(&project, "db-seed[1]", "env"), ["env.I=\"db-seed[1]\""]);
    let needs = fields(&project, "db-seed[0]", "depends-on");
    assert!(needs.contains(&"depends-on.db-pg.until=ready".into()), "{needs:?}");
    let volumes: Vec<String> = project
        .volumes
        .iter()
        .map(|(name, volume)| {
            format!("{name} {:?}", volume.external.as_ref().map(ToString::to_string))
        })
        .collect();
    assert_eq!(volumes, ["db-data None", "db-shared Some(\"shared\")"]);
}

#[test]
fn sf_m10_units_stand_in_units() {
    let outer = "include \"mid.yaml\" { as \"a\" }\n";
    let mid =
        "includes: {in.kdl: {as: b}}\nsandboxes: {m: {image: 'x:1', depends-on: {b-s: {}}}}\n";
    let inner = "sandbox \"s\" { image \"x:1\"; env { N \"${sandbox.name}\" } }";
    let project = project(&[("main", outer), ("mid.yaml", mid), ("in.kdl", inner)]);
    assert_eq!(fields(&project, "a-b-s", "env"), ["env.N=\"a-b-s\""]);
    assert!(fields(&project, "a-m", "depends-on").contains(&"depends-on.a-b-s.until=ready".into()));
}

#[test]
fn sf_m10_what_is_wrong_with_an_include_is_said_where_it_stands() {
    let found = problems(&[("main", "include \"gone.kdl\" { as \"a\" }")]);
    assert!(
        found.starts_with("main:1:9: error[msb::file::not-found]: gone.kdl is not there"),
        "{found}"
    );
    let found =
        problems(&[("main", "include \"b.kdl\" { as \"a\" }"), ("b.kdl", "sandbx \"x\" { }")]);
    assert!(found.starts_with("b.kdl:1:1: error[msb::schema::unknown-key]"), "{found}");
    let found = problems(&[("main", "include \"b.kdl\" {}"), ("b.kdl", "")]);
    assert!(found.contains("error[msb::schema::missing-key]: `a include` needs `as`"), "{found}");
    let found = problems(&[
        ("main", "include \"b.kdl\" { as \"a\"; vars { X 1 } }"),
        ("b.kdl", "var \"Y\""),
    ]);
    assert!(
        found.contains(
            "main:1:34: error[msb::var::undeclared]: the included file declares no variable `X`"
        ),
        "{found}"
    );
    let found = problems(&[
        ("main", "include \"b.kdl\" { as \"a\" }"),
        ("b.kdl", "include \"c.kdl\" { as \"a\" }"),
        ("c.kdl", "include \"b.kdl\" { as \"a\" }"),
    ]);
    assert!(found.contains("these files include one another: b.kdl → c.kdl → b.kdl"), "{found}");
    let found = problems(&[
        ("main", "include \"b.kdl\" { as \"a\" }\ninclude \"c.kdl\" { as \"a\" }"),
        ("b.kdl", "sandbox \"s\" { image \"x:1\" }"),
        ("c.kdl", "job \"s\" { image \"x:1\" }"),
    ]);
    assert!(
        found.contains("error[msb::schema::duplicate-definition]: job `a-s` comes from two files"),
        "{found}"
    );
}

#[test]
fn sf_m8_a_layer_takes_away_before_it_adds() {
    let base = r#"
template "t" { env { A 1; B 1; C 1 }; labels { x "1" } }
sandbox "a" { from "t"; image "x:1"; memory "1GiB"; env { C 2; D 2 }
    mount "/m" { tmpfs "1MiB" }; mount "/n" { tmpfs "1MiB" } }
sandbox "b" { image "x:1" }
sandbox "c" { from "t"; image "x:1"; remove { env "A" "B"; labels "x" }; env { A 9 } }
"#;
    let local = r#"
remove { sandboxes "b" }
sandbox "a" { remove { env "A" "C"; mounts "/m"; keys "memory" }; env { C 3 } }
"#;
    let layers = [("base.kdl", base), ("local.kdl", local)];
    let project = read_layers(&layers, &[], Tracing::Off).unwrap().project;
    let names: Vec<String> = project.sandboxes.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(fields(&project, "a", "env"), ["env.B=\"1\"", "env.C=\"3\"", "env.D=\"2\""]);
    assert_eq!(fields(&project, "a", "mounts").len(), 2);
    assert_eq!(fields(&project, "a", "memory.size"), ["memory.size=512 MiB"]);
    assert_eq!(fields(&project, "c", "env"), ["env.A=\"9\"", "env.C=\"1\""]);
    assert!(fields(&project, "c", "labels").is_empty());
}

#[test]
fn sf_m8_what_is_not_there_to_be_removed_is_a_warning() {
    let base = ("base.kdl", "sandbox \"a\" { image \"x:1\"; env { A 1 } }");
    let local = ("local.kdl", "sandbox \"a\" { remove { env \"B\"; mounts \"/x\" } }");
    let found = read_layers(&[base, local], &[], Tracing::Off).unwrap();
    let warnings: Vec<String> =
        found.warnings.iter().map(|warning| warning.plain(&found.sources)).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with(
            "local.kdl:1:28: warning[msb::ref::nothing-to-remove]: no layer below has `B` in `env`"
        ),
        "{warnings:?}"
    );
}

#[test]
fn sf_m11_what_a_layer_beat_is_remembered_for_who_asks() {
    let base = (
        "base.kdl",
        "template \"t\" { memory \"1GiB\" }\nsandbox \"a\" { from \"t\"; image \"x:1\"; memory \"2GiB\" }",
    );
    let local = ("local.kdl", "sandbox \"a\" { memory \"3GiB\" }");
    let found = read_layers(&[base, local], &[], Tracing::On).unwrap();
    let trace = found.trace.unwrap();
    let beaten: Vec<String> = trace
        .beaten
        .iter()
        .map(|one| {
            format!(
                "{} {} {} by {}",
                one.address,
                one.keys.join("."),
                found.sources.text(one.at),
                one.by
            )
        })
        .collect();
    assert_eq!(
        beaten,
        [
            " sandbox.a.memory \"2GiB\" by local.kdl",
            "sandbox.a memory \"1GiB\" by the sandbox itself"
        ]
    );
}
