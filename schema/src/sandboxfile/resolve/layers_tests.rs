//! Variables, layers and templates, from text to project or problems.

use super::*;
use crate::name::InstanceName;
use crate::project::Sandbox;
use crate::sandboxfile::problem::Code;
use crate::sandboxfile::source::Format;

fn resolved(files: &[(&str, &str)], vars: &[(&str, &str)]) -> Result<Resolved, Box<Failed>> {
    let files: Vec<SourceFile> = files
        .iter()
        .map(|(name, text)| SourceFile {
            path: (*name).into(),
            bytes: text.as_bytes().to_vec(),
            format: Format::of(std::path::Path::new(name)).unwrap(),
        })
        .collect();
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = [("HOST_TAG".to_owned(), "9".to_owned())].into();
    let folder = "/home/ana/acme".into();
    let inputs = ResolveInputs { folder, vars: vars.collect(), environment, ..<_>::default() };
    resolve(&files, &inputs)
}

fn sandbox(files: &[(&str, &str)], vars: &[(&str, &str)], name: &str) -> Sandbox {
    match resolved(files, vars) {
        Ok(found) => Sandbox::clone(&found.project.sandboxes[&InstanceName::parse(name).unwrap()]),
        Err(failed) => panic!("{}", failed.plain()),
    }
}

fn problems(text: &str) -> String {
    match resolved(&[("f", text)], &[]) {
        Ok(found) => panic!("{:?}", found.project),
        Err(failed) => failed.plain(),
    }
}

#[test]
fn sf_m4_a_variable_takes_the_command_line_then_the_host_then_its_default() {
    let text = "var \"TAG\" default=\"1\" from-env=\"HOST_TAG\"\nvar \"B\" default=\"2\"\n\
                sandbox \"a\" { image \"x:${TAG}\"; cpus \"${B}\" }";
    let image = |vars: &[(&str, &str)]| {
        let a = sandbox(&[("f", text)], vars, "a");
        format!("{} {}", a.root.short(), a.cpus.count)
    };
    assert_eq!(image(&[]), "x:9 2");
    assert_eq!(image(&[("TAG", "7"), ("B", "3")]), "x:7 3");
}

#[test]
fn sf_m2_values_are_filled_in_once_and_names_never() {
    let text = "var \"A\" default=\"${B}\"\nsandbox \"a\" { image \"x:1\"\n\
                env { ${B} 1; V \"${A}\"; W \"$$${sandbox.name}\"; H \"$HOME\" } }";
    let text = text.replace("${B} 1;", "");
    let a = sandbox(&[("f", &text)], &[], "a");
    let env: Vec<String> = a.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(env, ["H=\"$HOME\"", "V=\"${B}\"", "W=\"$a\""]);
}

#[test]
fn sf_m3_a_variable_that_is_not_there_is_named_with_its_nearest() {
    let text = "var \"TAG\" default=\"1\"\nsandbox \"a\" {\n    image \"x:${TAGS}\"\n}\n";
    let expected = "\
f:3:14: error[msb::var::undeclared]: no variable `TAGS` is declared
  1:5: did you mean `TAG`?
  help: declare it: var \"TAGS\" from-env=\"TAGS\"; or write $${TAGS} for the text itself
error: f: 1 problem
";
    assert_eq!(problems(text), expected);
    let found = problems("var \"T\"\nsandbox \"a\" { image \"x:${T}\" }");
    assert!(found.contains("error[msb::var::unset]: variable `T` has no value"), "{found}");
    let found =
        problems("var \"T\" pattern=\"[0-9]+\" default=\"1a\"\nsandbox \"a\" { image \"x:${T}\" }");
    assert!(found.contains("error[msb::var::pattern]"), "{found}");
    assert!(found.contains("1 problem"), "{found}");
    let found = problems("volume \"v\" { host-name \"x${replica.index}\" }");
    assert!(found.contains("the names with a dot here are project.dir, project.name"), "{found}");
    let found = problems("sandbox \"a\" { image \"x:${sandbox.nmae}\" }");
    assert!(found.contains("the names with a dot here are"), "{found}");
    let failed = resolved(&[("f", "")], &[("X", "1")]).unwrap_err().plain();
    assert!(failed.contains("--var X: no such variable"), "{failed}");
}

#[test]
fn sf_m7_a_later_layer_replaces_values_and_lists_and_merges_maps() {
    let base = "project \"p\" { labels { a \"1\" } }\nsandbox \"a\" { image \"x:1\"; command \"a\" \"b\"\n\
                memory \"512MiB\" max=\"2GiB\"; env { A 1; B 2 }\n\
                mount \"/t\" { tmpfs \"1MiB\"; options \"ro\" }; ready { exec \"t\"; timeout \"5s\" } }";
    let local = "sandboxes:\n  a:\n    command: [c]\n    memory: {size: 1GiB}\n    env: {B: 3, C: 4}\n    \
                 mounts: {/t: {tmpfs: 2MiB}}\n    ready: {agent: true}\n  b: {image: 'y:1'}\n";
    let files = [("Sandboxfile", base), ("Sandboxfile.local.yaml", local)];
    let a = sandbox(&files, &[], "a");
    let fields: Vec<String> = a
        .fields()
        .into_iter()
        .filter(|(path, _)| {
            ["command", "memory", "env", "mounts", "ready"].iter().any(|p| path.starts_with(p))
        })
        .map(|(path, value)| format!("{path}={value}"))
        .collect();
    let expected = [
        "command=\"c\"",
        "env.A=\"1\"",
        "env.B=\"3\"",
        "env.C=\"4\"",
        "memory.max=2 GiB",
        "memory.size=1 GiB",
        "mounts./t=tmpfs 2 MiB, mode 1777",
        "mounts./t.options=ro",
        "ready.probe=agent",
        "ready.timeout=5s",
    ];
    assert_eq!(fields, expected);
    let found = resolved(&files, &[]).unwrap();
    let place = found.origins.nearest("sandbox.a", "env.B").unwrap();
    assert_eq!((place.file.as_str(), place.line), ("Sandboxfile.local.yaml", 5));
    assert_eq!(found.project.sandboxes.len(), 2);
}

#[test]
fn sf_m9_a_template_lies_below_and_its_chain_below_it() {
    let text = "template \"base\" { memory \"1GiB\"; env { A 1; N \"${sandbox.name}\" } }\n\
                template \"web\" { from \"base\"; image \"x:1\"; env { A 2 } }\n\
                sandbox \"a\" { from \"web\"; env { B 3 } }\nsandbox \"b\" { from \"web\" }";
    for (name, env) in [("a", "A=\"2\" B=\"3\" N=\"a\""), ("b", "A=\"2\" N=\"b\"")] {
        let found = sandbox(&[("f", text)], &[], name);
        let words: Vec<String> = found.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(words.join(" "), env);
        assert_eq!(found.memory.size.to_string(), "1 GiB");
    }
}

#[test]
fn templates_that_are_not_in_order_are_reported_once() {
    let found =
        problems("sandbox \"a\" { from \"bse\"; cpus 0 }\ntemplate \"base\" { image \"x:1\" }");
    assert!(found.contains("there is no template `bse`"), "{found}");
    assert!(found.contains("help: write \"base\""), "{found}");
    assert!(found.contains("f: 2 problems"), "{found}");
    let cycle = "template \"a\" { from \"b\" }\ntemplate \"b\" { from \"a\" }\n\
                 sandbox \"s\" { from \"a\"; image \"x:1\" }";
    let found = problems(cycle);
    assert!(found.contains("these templates build on one another: a → b → a"), "{found}");
    assert!(found.contains("f: 1 problem\n"), "{found}");
    let found = problems(
        "template \"t\" { image \"x:1\"; memory \"1\" }\n\
                          sandbox \"a\" { from \"t\" }\nsandbox \"b\" { from \"t\" }",
    );
    assert!(found.contains("f: 1 problem\n"), "{found}");
    let unused = resolved(&[("f", "template \"t\" { memory \"1GiB\" }")], &[]).unwrap();
    assert_eq!(unused.warnings[0].code, Code::RULE_UNUSED_TEMPLATE);
}
