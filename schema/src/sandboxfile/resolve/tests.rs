//! Whole files, from text to project or problems.

use super::*;
use crate::name::InstanceName;
use crate::project::{
    ArgumentList, EnvValue, Kind, MountSource, Probe, Project, Security, Until, VolumeKind,
};
use crate::sandboxfile::source::Format;
use crate::units::{Bytes, Millis};

fn inputs() -> ResolveInputs {
    ResolveInputs { folder: "/home/ana/acme".into(), home: "/home/ana".into(), ..<_>::default() }
}

fn read(name: &str, text: &str) -> Result<Resolved, Box<Failed>> {
    let format = Format::of(std::path::Path::new(name)).unwrap();
    let file = SourceFile { path: name.into(), bytes: text.as_bytes().to_vec(), format };
    resolve(&[file], &inputs())
}

fn project(name: &str, text: &str) -> Project {
    match read(name, text) {
        Ok(resolved) => resolved.project,
        Err(failed) => panic!("{}", failed.plain()),
    }
}

fn problems(name: &str, text: &str) -> String {
    match read(name, text) {
        Ok(resolved) => panic!("{:?}", resolved.project),
        Err(failed) => failed.plain(),
    }
}

/// Checks that one line in a sandbox gives exactly one problem, by code and part of its text.
fn check_line(line: &str, code: &str, part: &str) {
    let text = format!("sandbox \"a\" {{ image \"x:1\"; {line} }}\n");
    let found = problems("Sandboxfile", &text);
    let count = found.lines().filter(|line| line.contains(": error[")).count();
    assert_eq!(count, 1, "{line}\n{found}");
    assert!(found.contains(&format!("[msb::{code}]")), "{line}\n{found}");
    assert!(found.contains(part), "{line}\n{found}");
}

const KDL: &str = r#"
project "acme" { format 1; labels { team "core" }; wait-timeout "8m"; driver "qemu" }
volume "pgdata" { kind "disk"; size "20GiB"; lifecycle { protect #true } }
sandbox "db" {
    image "postgres:16"
    cpus 1 max=2
    memory "512MiB" max="1GiB"
    security "restricted"
    env { POSTGRES_PASSWORD from-env="PGPASS"; PORT 5432; VERSION 3.10; CA from-file="./ca.pem" }
    mount "/var/lib/postgresql/data" { named "pgdata"; options "noexec" }
    mount "/tmp/work" { tmpfs "64MiB" mode="0700" }
    ready { exec "pg_isready" "-q"; timeout "90s" }
    upper "8GiB"; workdir "/srv/"; user "app:app"; hostname "db"; shell "/bin/bash"
    stop-grace "30s"; stop-signal "SIGINT"; log-level "debug"; restart "no"
    lifecycle { protect #true }
}
job "migrate" {
    image "ghcr.io/acme/web:1.4.2" pull="never"
    command "./migrate" "--to" "latest"
    entrypoint #null
    depends-on "db"
    success-codes 0 3
}
sandbox "web" {
    image "ghcr.io/acme/web:1.4.2"
    command #null
    labels { tier "web" }
    depends-on "migrate"
    depends-on "db" until="started" on-change="restart" optional=#true
}
"#;

const YAML: &str = r#"
project: {name: acme, format: 1, labels: {team: core}, wait-timeout: 8m, driver: qemu}
volumes: {pgdata: {kind: disk, size: 20GiB, lifecycle: {protect: true}}}
jobs:
  migrate:
    image: {ref: "ghcr.io/acme/web:1.4.2", pull: never}
    command: [./migrate, --to, latest]
    entrypoint: null
    depends-on: {db: {}}
    success-codes: [0, 3]
sandboxes:
  db:
    image: postgres:16
    cpus: {count: 1, max: 2}
    memory: {size: 512MiB, max: 1GiB}
    security: restricted
    env:
      POSTGRES_PASSWORD: {from-env: PGPASS}
      PORT: 5432
      VERSION: 3.10
      CA: {from-file: ./ca.pem}
    mounts:
      /var/lib/postgresql/data: {named: pgdata, options: [noexec]}
      /tmp/work: {tmpfs: {size: 64MiB, mode: "0700"}}
    ready: {exec: [pg_isready, -q], timeout: 90s}
    upper: 8GiB
    workdir: /srv/
    user: app:app
    hostname: db
    shell: /bin/bash
    stop-grace: 30s
    stop-signal: SIGINT
    log-level: debug
    restart: "no"
    lifecycle: {protect: true}
  web:
    image: ghcr.io/acme/web:1.4.2
    command: ~
    labels: {tier: web}
    depends-on:
      migrate:
      db: {until: started, on-change: restart, optional: true}
"#;

#[test]
fn both_formats_of_one_project_resolve_to_equal_projects() {
    assert_eq!(project("Sandboxfile", KDL), project("Sandboxfile.yaml", YAML));
}

#[test]
fn every_value_arrives_in_its_type() {
    let project = project("Sandboxfile", KDL);
    assert_eq!(project.wait_timeout, Some(Millis::seconds(480)));
    let get = |name: &str| &project.sandboxes[&InstanceName::parse(name).unwrap()];
    let (db, web, migrate) = (get("db"), get("web"), get("migrate"));
    assert_eq!(db.memory.max, Bytes::gib(1));
    assert_eq!(db.security, Security::Restricted);
    assert_eq!(db.ready.probe, Probe::Exec(vec!["pg_isready".into(), "-q".into()]));
    let env: Vec<String> = db.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = [
        "CA=file:/home/ana/acme/ca.pem",
        "PORT=\"5432\"",
        "POSTGRES_PASSWORD=env:PGPASS",
        "VERSION=\"3.10\"",
    ];
    assert_eq!(env, expected);
    assert!(db.env.values().any(EnvValue::is_sensitive));
    let places: Vec<&str> = db.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    assert_eq!(places, ["/tmp/work", "/var/lib/postgresql/data"]);
    assert_eq!(db.mounts[0].source, MountSource::Tmpfs { size: Bytes::mib(64), mode: 0o700 });
    assert_eq!(web.command, ArgumentList::Nothing);
    assert_eq!(web.labels.len(), 2);
    let untils: Vec<Until> =
        web.depends_on.values().map(|dependency| dependency.until.clone()).collect();
    assert_eq!(untils, [Until::Started, Until::CompletedOk]);
    assert_eq!((migrate.kind, &migrate.entrypoint), (Kind::Job, &ArgumentList::Nothing));
    let volume = project.volumes.values().next().unwrap();
    assert_eq!((volume.kind, volume.protect), (Some(VolumeKind::Disk), true));
}

#[test]
fn every_value_knows_its_place() {
    let resolved = read("Sandboxfile", KDL).unwrap();
    let place = |path: &str| {
        let cut = path.match_indices('.').nth(1).map_or(path.len(), |(at, _)| at);
        let (address, field) = (&path[..cut], path[cut..].trim_start_matches('.'));
        let place = resolved.origins.nearest(address, field);
        place.map(|place| format!("{}:{}", place.line, place.column))
    };
    assert_eq!(place("sandbox.db.memory.size").as_deref(), Some("7:5"));
    assert_eq!(place("sandbox.db.memory.max").as_deref(), Some("7:21"));
    assert_eq!(place("sandbox.db.env.PORT").as_deref(), Some("9:48"));
    assert_eq!(place("sandbox.migrate.image").as_deref(), Some("18:5"));
    assert_eq!(place("volume.pgdata.size").as_deref(), Some("3:32"));
    assert_eq!(place("sandbox.web.upper").as_deref(), Some("24:9"));
}

#[test]
fn the_name_of_the_folder_stands_in_for_the_name_of_the_project() {
    assert_eq!(project("Sandboxfile", "").name.as_str(), "acme");
    assert_eq!(project("Sandboxfile", "project \"shop\"").name.as_str(), "shop");
    assert!(problems("Sandboxfile", "project \"adhoc\"").contains("`adhoc` is reserved"));
}

#[test]
fn five_mistakes_are_five_problems_in_one_run() {
    let text = "\
sandbox \"web\" {
    image \"redis:7\"
    memmory \"512MiB\"
    memory \"512MB\"
    replicas \"two\"
    cpus 4 max=2
    depends-on \"bd\"
}
sandbox \"db\" { image \"postgres:16\" }
";
    let expected = "\
Sandboxfile.kdl:3:5: error[msb::schema::unknown-key]: a sandbox has no key `memmory`
  help: write memory \"512MiB\"
Sandboxfile.kdl:4:12: error[msb::value::size]: the unit of `512MB` is ambiguous
  help: write \"512MiB\"
Sandboxfile.kdl:5:14: error[msb::value::count]: `two` is not a count
  help: write a whole number, such as 2
Sandboxfile.kdl:6:16: error[msb::rule::max-below-value]: `max` is below the value
  6:10: the value is here
  help: raise max to 4 or more, or leave it out
Sandboxfile.kdl:7:16: error[msb::ref::unknown]: there is no sandbox or job `bd`
  help: write \"db\"
error: Sandboxfile.kdl: 5 problems
";
    assert_eq!(problems("Sandboxfile.kdl", text), expected);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a mistake")]
fn a_mistake_in_one_line_is_one_problem() {
    for (line, code, part) in [
        ("cpus 0", "sandbox::zero-cpus", "at least one"),
        ("cpus 02", "value::count", "write 2"),
        ("cpus 300", "value::range", "between 1 and 255"),
        ("memory \"0MiB\"", "sandbox::zero-memory", "has memory"),
        ("memory \"32MiB\"", "value::range", "out of range"),
        ("memory \"512\"", "value::size", "512MiB"),
        ("memory \"65.5MiB\"", "value::range", "66MiB"),
        ("stop-grace 90", "value::duration", "1m30s"),
        ("stop-signal \"TREM\"", "value::choice", "not a signal"),
        ("driver \"qmeu\"", "value::choice", "write \"qemu\""),
        ("driver \"process\"", "value::choice", "qemu"),
        ("workdir \"srv\"", "value::path", "not absolute"),
        ("user \"a b\"", "value::user", "not a user"),
        ("hostname \"A\"", "value::name", "lower-case"),
        ("command \"npm start\"", "rule::command-is-one-word", "\"npm\" \"start\""),
        ("command", "schema::shape", "list"),
        ("memory max=\"1GiB\"", "schema::shape", "needs a value"),
        ("env { MSB_X 1 }", "value::env-key", "reserved"),
        ("env { A 1; A 2 }", "schema::duplicate-key", "twice"),
        ("env { A #true }", "value::type", "quote it: \"true\""),
        ("env { A from-env=\"X\" from-file=\"y\" }", "schema::conflict", "from-file"),
        ("env { A 1 from-env=\"X\" }", "schema::conflict", "a value and"),
        ("env A=1", "schema::property-or-child", "`A 1` in the braces"),
        ("env { A secret=\"s\" }", "ref::unknown", "no secret `s`"),
        ("labels { \"msb.x\" \"1\" }", "value::reserved-label", "msb."),
        ("labels x=1", "schema::property-or-child", "line of its own"),
        ("restart \"allways\"", "value::choice", "write \"always\""),
        ("restart { max -1 }", "value::count", "not a count"),
        ("restart { factor 0.5 }", "value::range", "between 1 and 100"),
        ("restart { jitter 1.5 }", "value::range", "between 0 and 1,"),
        ("from \"base\"", "ref::unknown", "no template `base`"),
        ("lifecycle { update \"start-first\" }", "schema::not-yet", "start-first"),
        ("lifecycle { moved-from \"a\" }", "schema::conflict", "both are in the file"),
        ("lifecycle { ignore-drift \"memry.size\" }", "ref::unknown", "no field `memry.size`"),
        ("matrix { axes { os \"a\" } }", "schema::not-yet", "`matrix`"),
        ("lifecycle { protect yes }", "value::boolean", "write #true"),
        ("lifecycle protect=#true", "schema::property-or-child", "protect #true"),
        ("cpus 1 { max 2 }", "schema::property-or-child", "max=2"),
        ("upper #null", "value::null", "leave `upper` out"),
        ("image \"y:1\"", "schema::duplicate-key", "first here"),
        ("ports { x 1 }", "schema::unknown-key", "write port"),
        ("ready { exec \"a\"; agent #true }", "schema::conflict", "two probes"),
        ("ready { tcp 0 }", "value::range", "between 1 and 65535"),
        ("ready { http \"x\" port=80 }", "value::path", "from its root"),
        ("ready { http \"/x\" }", "schema::missing-key", "needs `port`"),
        ("ready { http \"/x\" port=80 status=\"2xx\" }", "value::range", "200-399"),
        ("ready { log \"(\" }", "value::regex", "not a regular expression"),
        ("health { interval \"1s\" }", "schema::missing-key", "no probe"),
        ("health { agent #true }", "schema::unknown-key", "no key `agent`"),
        ("health { tcp 1; exec \"a\" }", "schema::conflict", "two probes"),
        ("ready", "schema::missing-key", "says nothing"),
        ("depends-on \"a\"", "ref::cycle", "waits for itself"),
        ("success-codes 256", "value::range", "between 0 and 255"),
        ("mount \"/proc/x\" { tmpfs \"1MiB\" }", "rule::mount-forbidden", "/proc"),
        ("mount \"/\" { tmpfs \"1MiB\" }", "rule::mount-forbidden", "nothing can be"),
        ("mount \"/x\" { dir \"~bob/x\" }", "value::path", "another user"),
        ("mount \"/x\" { dir \"\" }", "value::path", "empty"),
        (
            "mount \"/x\" { dir \"x\" stat-virt=\"off\" host-perms=\"mirror\" }",
            "schema::conflict",
            "drops",
        ),
        ("mount \"/x\" { file \"x\" on-change=\"reload\" }", "value::choice", "signal:HUP"),
        (
            "mount \"/x\" { disk \"x.qcow2\" }",
            "value::path",
            "qemu-img convert -O raw x.qcow2 x.raw",
        ),
        ("root-disk \"x.raw\"", "schema::conflict", "two roots"),
        ("rlimits { nofiles 1 }", "value::choice", "write \"nofile\""),
        ("rlimits { nofile 2 hard=1 }", "rule::max-below-value", "below the soft one"),
        ("rlimits { nofile many }", "value::count", "unlimited"),
        ("idle-timeout \"0s\"", "value::range", "1s or more"),
        ("metrics { interval \"2h\" }", "value::range", "at most \"1h\""),
        ("metrics { attributes { \"msb.x\" \"1\" } }", "value::reserved-label", "msb."),
        ("replicas 1001", "limit::instances", "more than 1000 instances"),
        ("replicas \"${replica.count}\"", "value::count", "cannot depend on the instance"),
        ("remove { env \"A\" }", "schema::conflict", "no layer below"),
        ("workdir \"/${matrix.os}\"", "schema::not-yet", "matrix.os"),
        ("mount \"/x\"", "schema::missing-key", "says not of what"),
        ("mount \"x\" { tmpfs \"1MiB\" }", "value::path", "not absolute"),
        ("mount \"/x\" { tmpfs \"1MiB\"; named \"v\" }", "schema::conflict", "two kinds"),
        ("mount \"/x\" { tmpfs \"1GiB\" }", "value::range", "of memory"),
        ("mount \"/x\" { tmpfs \"1MiB\"; options \"ro\" \"rw\" }", "schema::conflict", "exclude"),
        ("mount \"/x\" { tmpfs \"1MiB\" mode=\"999\" }", "value::type", "octal"),
        ("mount \"/x\" { named \"v\" }", "ref::unknown", "define it: volume \"v\""),
        (
            "mount \"/x\" { named \"v\" size=\"1GiB\" }",
            "schema::conflict",
            "only a disk has a `size`",
        ),
        (
            "mount \"/x\" { named \"v\" kind=\"disk\" size=\"1GiB\" quota=\"1GiB\" }",
            "schema::conflict",
            "only a folder",
        ),
        ("mount \"/x\" { named \"v\" kind=\"disk\" }", "schema::missing-key", "no size"),
    ] {
        // A bare `yes` is a word; KDL has no such keyword.
        check_line(line, code, part);
    }
}

#[test]
fn syntax_mistakes_have_their_own_words() {
    for (text, code, part) in [
        ("sandbox \"a\" { image redis:7/x }", "syntax::needs-quotes", "\"redis:7/x\""),
        ("sandbox \"a\" { memory 512MiB }", "syntax::needs-quotes", "starts with a digit"),
        ("sandbox \"a\" { workdir ./x }", "syntax::needs-quotes", "slash"),
        ("a true", "syntax::kdl-v1", "write #true"),
        ("a r\"x\"", "syntax::kdl-v1", "raw string"),
        ("/- kdl-version 1\na", "syntax::kdl-v1", "KDL 2"),
        ("memory = \"1GiB\"", "syntax::equals-sign", "write memory \"1GiB\""),
        ("memory: \"1GiB\"", "syntax::equals-sign", "write memory"),
        ("a (u8)4", "syntax::type-annotation", "delete it"),
        ("image ${TAG}", "syntax::bare-interpolation", "\"${TAG}\""),
        ("a {\n b\n", "syntax::kdl", "1:3: these were opened here"),
        ("a \"x", "syntax::kdl", "never ends"),
    ] {
        let found = problems("Sandboxfile", text);
        assert!(found.contains(&format!("error[msb::{code}]")), "{text}\n{found}");
        assert!(found.contains(part), "{text}\n{found}");
    }
}

#[test]
fn yaml_traps_are_refused_by_name() {
    for (text, code, part) in [
        ("a: !!str x", "syntax::yaml-tag", "tag"),
        ("a: {}\n---\nb: {}", "syntax::yaml-documents", "2:1"),
        ("<<: {}", "syntax::yaml-merge-key", "templates"),
        ("? {a: b}\n: c", "syntax::yaml-key", "not text"),
        ("a:\n\tb: c", "syntax::yaml-tab", "2:1"),
        ("sandboxes: {a: {image: ${TAG}}}", "syntax::bare-interpolation", "1:24"),
        ("sandbox: {}", "schema::unknown-key", "write sandboxes"),
        ("sandboxes: {a: {image: 'x:1', lifecycle: {protect: yes}}}", "value::boolean", "as words"),
        ("sandboxes: {a: {image: 'x:1'}, a: {image: 'x:1'}}", "schema::duplicate-definition", "a"),
        ("sandboxes: {a: {image: 'x:1', command: }}", "value::null", "null or ~"),
        ("- a", "schema::shape", "not a map"),
        ("a: &x {b: *x}", "syntax::yaml", "inside what it names"),
        ("a: [", "syntax::yaml", "not in order"),
    ] {
        let found = problems("Sandboxfile.yaml", text);
        assert!(found.contains(&format!("error[msb::{code}]")), "{text}\n{found}");
        assert!(found.contains(part), "{text}\n{found}");
    }
}

#[test]
fn a_cycle_is_named_edge_by_edge() {
    let text = "\
sandbox \"api\" { image \"x:1\"
    depends-on \"db\"
}
sandbox \"db\" { image \"x:1\"
    depends-on \"seed\" until=\"started\"
}
job \"seed\" { image \"x:1\"
    depends-on \"api\"
}
";
    let expected = "\
Sandboxfile:2:16: error[msb::ref::cycle]: these wait for each other: api → db → seed → api
  5:16: db waits for seed
  8:16: seed waits for api
  help: remove one edge; `connect` gives network access without an order
error: Sandboxfile: 1 problem
";
    assert_eq!(problems("Sandboxfile", text), expected);
}

#[test]
fn what_two_sandboxes_say_together_is_held_to_the_rules() {
    let both = |a: &str, b: &str, top: &str| {
        let text = format!(
            "{top}\nsandbox \"a\" {{ image \"x:1\"; {a} }}\nsandbox \"b\" {{ image \"x:1\"; {b} }}"
        );
        problems("Sandboxfile", &text)
    };
    let volume = "volume \"v\" { kind \"disk\"; size \"1GiB\" }";
    let mount = "mount \"/d\" { named \"v\" }";
    assert!(both(mount, mount, volume).contains("written by `a` and `b`"));
    let inline = "mount \"/d\" { named \"v\" kind=\"disk\" size=\"1GiB\"; options \"ro\" }";
    let other = "mount \"/d\" { named \"v\" kind=\"disk\" size=\"2GiB\"; options \"ro\" }";
    assert!(both(inline, other, "").contains("defined twice, and not the same"));
    assert!(both(inline, "", volume).contains("has a node of its own"));
    let twice = "mount \"/d\" { tmpfs \"1MiB\" }; mount \"/d/\" { tmpfs \"1MiB\" }";
    assert!(both(twice, "", "").contains("two things are mounted"));
    let until = "depends-on \"a\" until=\"completed\"";
    assert!(both("", until, "").contains("never completes"));
    let found = both("", "", "job \"a\" { image \"x:1\" }");
    assert!(found.contains("one name space"));
}

#[test]
fn an_unpinned_image_is_worth_a_word() {
    let resolved = read("Sandboxfile", "sandbox \"a\" { image \"redis\" }").unwrap();
    let words: Vec<&str> = resolved.warnings.iter().map(|p| p.code.as_str()).collect();
    assert_eq!(words, ["msb::value::latest"]);
}

#[test]
fn a_project_without_sandboxes_is_a_project() {
    for (name, text) in [("Sandboxfile", "// nothing\n"), ("a.yaml", "# nothing\n"), ("b.yml", "~")]
    {
        assert!(project(name, text).sandboxes.is_empty());
    }
}

/// Hostile files end with a problem that has a place, whatever their size.
#[test]
fn hostile_files_end_in_a_problem_with_a_place() {
    let billion: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|level| {
            let names = vec![format!("*a{}", level - 1); 9].join(", ");
            format!("a{level}: &a{level} [{names}]\n")
        }))
        .collect();
    for (name, text, code) in [
        ("f", "a /-{".repeat(18), "syntax::kdl"),
        ("f", "a /-{".repeat(100_000), "limit::depth"),
        ("f", "a {".repeat(100_000), "limit::depth"),
        ("f", "{".repeat(100_000), "syntax::kdl"),
        ("f", "/*".repeat(100_000), "syntax::kdl"),
        ("f", "\"".repeat(100_001), "syntax::kdl"),
        ("f", "a\n".repeat(500_000), "limit::nodes"),
        ("f", format!("{} 1", "a".repeat(300)), "limit::key-bytes"),
        ("f", format!("a \"{}\"", "b".repeat(300_000)), "limit::scalar-bytes"),
        ("f", "a ".repeat(500_000), "limit::nodes"),
        ("f.yaml", "[".repeat(100_000), "limit::depth"),
        ("f.yaml", "{".repeat(100_000), "limit::depth"),
        ("f.yaml", "a: 1\n".repeat(200_000), "limit::nodes"),
        ("f.yaml", "- ".repeat(100_000), "limit::depth"),
        ("f.yaml", billion, "limit::alias-nodes"),
    ] {
        let found = problems(name, &text);
        let start: String = text.chars().take(20).collect();
        assert!(found.contains(&format!("error[msb::{code}]")), "{start}\n{found}");
        assert!(found.lines().count() < 20, "{start}");
    }
}

#[test]
fn many_problems_are_counted_beyond_a_hundred() {
    let found = problems("f", &"x\n".repeat(1000));
    assert!(found.ends_with("and 900 more\nerror: f: 1000 problems\n"), "{found}");
}

#[test]
fn a_key_in_the_environment_is_worth_a_word() {
    let codes = |value: &str| -> Vec<&str> {
        let text = format!("sandbox \"a\" {{ image \"x:1\"; env {{ A \"{value}\" }} }}");
        let warnings = read("Sandboxfile", &text).unwrap().warnings;
        warnings.iter().map(|problem| problem.code.as_str()).collect()
    };
    let warned = ["msb::rule::secret-in-env"];
    assert_eq!(codes("ghp_0123456789abcdefghij"), warned);
    assert_eq!(codes("q7Zp0Lk3Xw9VbN2rTy6HsD1mGc8JfA4e"), warned);
    for plain in [
        "production",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin",
        "a-long-name-of-a-thing-that-is-no-key-1A",
    ] {
        assert_eq!(codes(plain), [""; 0], "{plain}");
    }
}

/// The renderings that the language's page shows, as they come out in plain text.
#[test]
fn sf_d4_problems_read_as_the_page_shows_them() {
    let kdl = |line: &str| problems("Sandboxfile.kdl", &format!("sandbox \"a\" {{\n{line}\n}}\n"));
    for (line, expected) in [
        (
            "  image \"x:1\"; cpus 1; security \"default\" { x }",
            "Sandboxfile.kdl:2:24: error[msb::schema::shape]: `security` takes exactly one value\n",
        ),
        (
            "  memory 512MiB",
            "Sandboxfile.kdl:2:10: error[msb::syntax::needs-quotes]: `512MiB` must be quoted\n  \
             help: write \"512MiB\"; in KDL a word that starts with a digit is a number\n",
        ),
        (
            "  lifecycle { protect true }",
            "Sandboxfile.kdl:2:23: error[msb::syntax::kdl-v1]: `true` is KDL 1\n  \
             help: write #true; in KDL 2 words that start with # are keywords\n",
        ),
        (
            "  image ${TAG}",
            "Sandboxfile.kdl:2:9: error[msb::syntax::bare-interpolation]: `${TAG}` outside quotes is \
             not a variable\n  help: write \"${TAG}\"; without quotes KDL reads the word `$` and a \
             block named TAG\n",
        ),
    ] {
        let found = kdl(line);
        assert!(found.starts_with(expected), "{found}");
    }
    let twice = "sandbox \"web\" { image \"x:1\" }\nsandbox \"web\" { image \"x:1\" }\n";
    let expected = "\
Sandboxfile.kdl:2:9: error[msb::schema::duplicate-definition]: sandbox `web` is defined twice
  1:9: first here
  help: merge the two or rename one; several copies of one sandbox are `replicas`
";
    assert!(problems("Sandboxfile.kdl", twice).starts_with(expected));
    let yes = "sandboxes: {a: {image: 'x:1', lifecycle: {protect: yes}}}";
    let expected = "\
Sandboxfile.yaml:1:52: error[msb::value::boolean]: `yes` is not a boolean
  help: write true; YAML 1.2 reads yes, no, on and off as words
";
    assert!(problems("Sandboxfile.yaml", yes).starts_with(expected));
}
