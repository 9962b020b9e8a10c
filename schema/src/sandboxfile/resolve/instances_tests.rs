//! Replicas, profiles and dependencies on instances, from text to project or problems.

use super::*;
use crate::project::{Body, Project, Until};
use crate::sandboxfile::source::Format;

fn read(text: &str, inputs: ResolveInputs) -> Result<Resolved, Box<Failed>> {
    let (path, bytes) = ("f".into(), text.as_bytes().to_vec());
    let file = SourceFile { path, bytes, format: Format::Kdl };
    resolve(&[file], &ResolveInputs { folder: "/home/ana/acme".into(), ..inputs })
}

fn project(text: &str) -> Project {
    match read(text, ResolveInputs::default()) {
        Ok(resolved) => resolved.project,
        Err(failed) => panic!("{}", failed.plain()),
    }
}

fn problems(text: &str) -> String {
    match read(text, ResolveInputs::default()) {
        Ok(resolved) => panic!("{:?}", resolved.project),
        Err(failed) => failed.plain(),
    }
}

fn body<'p>(project: &'p Project, name: &str) -> &'p Body {
    &project.sandboxes[&InstanceName::parse(name).unwrap()]
}

#[test]
fn sf_r4_replicas_are_instances_with_an_index() {
    let project = project(
        "sandbox \"web\" { image \"x:1\"; replicas 3 }\nsandbox \"db\" { image \"x:1\" }\nsandbox \"none\" { image \"x:1\"; replicas 0 }",
    );
    let names: Vec<String> = project.sandboxes.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["db", "web[0]", "web[1]", "web[2]"]);
    let replicas: Vec<Option<u32>> = project.definitions.values().map(|d| d.replicas).collect();
    assert_eq!(replicas, [None, Some(0), Some(3)]);
}

#[test]
fn sf_r5_instances_share_one_body_where_nothing_differs() {
    let project =
        project("sandbox \"web\" { image \"x:1\"; replicas 2; env { A \"${project.name}\" } }");
    assert!(body(&project, "web[0]").is_shared_with(body(&project, "web[1]")));
    assert!(project.definitions.values().all(|definition| definition.marks.is_empty()));
}

#[test]
fn sf_r5_what_differs_is_filled_in_for_each_instance() {
    let project = project(
        "var \"N\" default=\"2\"\nsandbox \"web\" { image \"x:1\"; replicas \"${N}\"\n\
         env { I \"${replica.index}/${replica.count} ${sandbox.instance} ${sandbox.name}\"; P \"$${X}\" }\n\
         mount \"/d\" { named \"data-${replica.index}\" kind=\"disk\" size=\"1GiB\" } }",
    );
    let env = |name: &str| -> Vec<String> {
        body(&project, name).env.values().map(ToString::to_string).collect()
    };
    assert_eq!(env("web[0]"), ["\"0/2 web[0] web\"", "\"${X}\""]);
    assert_eq!(env("web[1]"), ["\"1/2 web[1] web\"", "\"${X}\""]);
    let volumes: Vec<&str> = project.volumes.keys().map(|name| name.as_str()).collect();
    assert_eq!(volumes, ["data-0", "data-1"]);
    let marks = &project.definitions.values().next().unwrap().marks;
    assert_eq!(marks.keys().collect::<Vec<_>>(), ["env", "mount"]);
    let words: Vec<&str> =
        marks["env"][0].fields.iter().map(|field| field.words[0].as_str()).collect();
    let expected = "${replica.index}/${replica.count} ${sandbox.instance} web";
    assert_eq!(words, [expected, "$${X}"]);
}

#[test]
fn sf_r5_a_pattern_may_differ_from_instance_to_instance() {
    let project = project(
        "sandbox \"web\" { image \"x:1\"; replicas 2\n\
         depends-on \"db\" until=\"log\" pattern=\"up ${replica.index}\" }\n\
         sandbox \"db\" { image \"x:1\" }",
    );
    let until = |name: &str| body(&project, name).depends_on.values().next().unwrap().until.clone();
    assert_eq!(until("web[0]"), Until::Log("up 0".into()));
    assert_eq!(until("web[1]"), Until::Log("up 1".into()));
}

#[test]
fn sf_r1_marks_are_the_same_however_they_were_written() {
    let kdl = "sandbox \"web\" { image \"x:1\"; replicas 2\n\
               mount \"/b\" { dir \"./x/../b-${replica.index}\" follow-symlink=#true ensure=\"ensure\" }\n\
               mount \"/a\" { tmpfs \"1MiB\" }; env { B 2; A \"$${X}$$${replica.index}\" } }";
    let yaml = "sandboxes: {web: {image: 'x:1', replicas: 2, env: {A: '$${X}$$${replica.index}', B: 2}, \
                mounts: {/a: {tmpfs: 1MiB}, /b: {dir: {ensure: ensure, follow-symlink: true, \
                path: '/home/ana/acme/b-${replica.index}'}}}}}";
    let file = |path: &str, text: &str, format| SourceFile {
        path: path.into(),
        bytes: text.as_bytes().to_vec(),
        format,
    };
    let inputs = || ResolveInputs { folder: "/home/ana/acme".into(), ..ResolveInputs::default() };
    let read =
        |file| resolve(&[file], &inputs()).unwrap_or_else(|f| panic!("{}", f.plain())).project;
    let kdl = read(file("f", kdl, Format::Kdl));
    assert_eq!(kdl, read(file("f.yaml", yaml, Format::Yaml)));
    let dir = &kdl.definitions["web"].marks["mount"][1].fields[0];
    assert_eq!(dir.words, ["/home/ana/acme/b-${replica.index}"]);
    assert_eq!(kdl.definitions["web"].marks["env"][0].fields[0].words, ["$${X}$$${replica.index}"]);
}

#[test]
fn a_single_sandbox_is_its_own_and_only_instance() {
    let project = project(
        "sandbox \"web\" { image \"x:1\"; env { A \"${replica.index}${sandbox.instance}\" } }",
    );
    let value = body(&project, "web").env.values().next().unwrap().to_string();
    assert_eq!(value, "\"0web\"");
}

#[test]
fn sf_v6_a_disk_has_one_writer_among_all_instances() {
    let found = problems(
        "volume \"d\" { kind \"disk\"; size \"1GiB\" }\n\
         sandbox \"web\" { image \"x:1\"; replicas 2; mount \"/d\" { named \"d\" } }",
    );
    assert!(found.contains("f:2:48: error[msb::rule::disk-shared]"), "{found}");
    assert!(found.contains("${replica.index}"), "{found}");
    let found = problems(
        "sandbox \"a\" { image \"x:1\"; mount \"/a\" { disk \"./d.raw\" }; mount \"/b\" { disk \"./d.raw\" } }",
    );
    assert!(found.contains("mounted twice by `a`"), "{found}");
    let found = problems(
        "sandbox \"a\" { image \"x:1\"; mount \"/a\" { disk \"./\\td\" }; mount \"/b\" { disk \"./\\td\" } }",
    );
    assert!(found.contains("\\u{9}d` is mounted twice by `a`"), "{found}");
    let found = problems("sandbox \"a\" { root-dir \"./r\" write=\"in-place\"; replicas 2 }");
    assert!(found.contains("written in place by 2 instances"), "{found}");
}

#[test]
fn a_dependency_names_a_sandbox_or_one_of_its_instances() {
    let text = |target: &str| {
        format!(
            "sandbox \"db\" {{ image \"x:1\"; replicas 2 }}\n\
             sandbox \"web\" {{ image \"x:1\"; depends-on \"{target}\" until=\"log\" pattern=\"up\" }}"
        )
    };
    let project = project(&text("db[1]"));
    let (name, dependency) = body(&project, "web").depends_on.iter().next().unwrap();
    assert_eq!((name.to_string().as_str(), &dependency.until), ("db[1]", &Until::Log("up".into())));
    let found = problems(&text("db").replace(" pattern=\"up\"", ""));
    assert!(
        found.contains("error[msb::rule::until-needs]: `until` \"log\" has no pattern"),
        "{found}"
    );
    let found = problems(&text("db[2]"));
    assert!(found.contains("there is no instance `db[2]`"), "{found}");
    assert!(found.contains("it has the instances 0 to 1"), "{found}");
}

#[test]
fn a_required_target_that_takes_no_part_is_refused() {
    let text = "sandbox \"mail\" { image \"x:1\"; profiles \"dev\" \"ci\" }\n\
                sandbox \"web\" { image \"x:1\"; depends-on \"mail\" }";
    let found = problems(text);
    assert!(found.starts_with("f:2:41: error[msb::ref::inactive]"), "{found}");
    assert!(found.contains("1:9: it has profiles ci, dev"), "{found}");
    let with = |profiles: &[&str], named: &[&str]| {
        let profiles = profiles.iter().map(|profile| (*profile).to_owned()).collect();
        let named = named.iter().map(|name| InstanceName::parse(name).unwrap()).collect();
        read(text, ResolveInputs { profiles, named, ..ResolveInputs::default() }).is_ok()
    };
    assert!(with(&["ci"], &[]) && with(&[], &["mail"]) && !with(&["test"], &["web"]));
}

#[test]
fn sf_f11_all_instances_of_a_project_are_counted_together() {
    let limits = Limits { instances: 5, ..Limits::default() };
    let read = |text: &str| {
        read(text, ResolveInputs { limits, ..ResolveInputs::default() })
            .map_err(|failed| failed.plain())
    };
    let one = "sandbox \"a\" { image \"x:1\"; replicas 3 }\n";
    read(&format!("{one}sandbox \"b\" {{ image \"x:1\"; replicas 2 }}")).unwrap();
    let found = read(&format!("{one}sandbox \"b\" {{ image \"x:1\"; replicas 3 }}")).unwrap_err();
    assert!(found.starts_with("f:2:37: error[msb::limit::instances]"), "{found}");
}

#[test]
fn a_job_has_nothing_that_only_sandboxes_have() {
    let found = problems(
        "template \"base\" { image \"x:1\"; health { tcp 80 } }\njob \"j\" { from \"base\"; idle-timeout \"5s\" }",
    );
    assert!(found.contains("f:1:32: error[msb::schema::not-for-jobs]: a job has no `health`\n  2:5: the job is here"), "{found}");
    assert!(found.contains("a job has no `idle-timeout`"), "{found}");
    let found = problems("job \"j\" { image \"x:1\"; restart \"always\" }");
    assert!(found.contains("a job has no `restart \"always\"`"), "{found}");
}

#[test]
fn sf_d6_the_value_of_a_variable_is_never_shown() {
    let found = problems(
        "var \"M\" default=\"hunter2\"\nsandbox \"a\" { image \"x:1\"; memory \"${M}\"; cpus \"${M}\"\n\
         user \"${M} x\"; restart \"${M}\"; workdir \"${M}\"; success-codes \"${M}\" }",
    );
    assert!(!found.contains("hunter2"), "{found}");
    assert!(found.contains("`${M}` is not a size"), "{found}");
    assert_eq!(found.matches("error[").count(), 6, "{found}");
}
