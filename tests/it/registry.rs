//! Registries: real ones on loopback, and small servers that do what a bad one would.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use orchestrator::context::{Context, Environment};
use orchestrator::images::Digest;
use orchestrator::registry::{Descriptor, HostSettings, Registry, RegistryError, Settings};
use schema::project::ImageRef;
use serde_json::json;
use tests::home::{Home, put};
use tests::listener::{Cutter, Listener, answer};
use tests::programs;
use tests::registry::Registry as Served;

const PLATFORM: &str = "linux/amd64";

fn base() -> PathBuf {
    programs::target().join("base/base.oci.tar")
}

fn image(host: &str, rest: &str) -> ImageRef {
    ImageRef::parse(&format!("{host}/{rest}")).unwrap()
}

/// Returns a door to registries for a process with these variables.
fn door(home: &Home, variables: &[(&str, &str)], hosts: &[(&str, HostSettings)]) -> Registry {
    let mut context = Context::read().unwrap().with_home(&home.path());
    let user = home.scratch("nobody");
    let mut all = vec![("HOME", user.to_str().unwrap()), ("PATH", "/usr/bin:/bin")];
    all.extend(variables);
    context.environment = Environment::of(&all);
    let hosts = hosts.iter().map(|(host, entry)| ((*host).to_owned(), entry.clone()));
    Registry::new(Settings::of(&context, &hosts.collect::<BTreeMap<_, _>>()))
}

fn trusting(authority: &Path) -> HostSettings {
    HostSettings { ca_certs: Some(authority.to_owned()), ..HostSettings::default() }
}

fn auths(host: &str, pair: &str) -> String {
    let (user, password) = pair.split_once(':').unwrap();
    json!({ "auths": { host: { "username": user, "password": password } } }).to_string()
}

fn whole(door: &Registry, of: &ImageRef, part: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    door.blob(of, part, 0, &mut |more| bytes.write_all(more))?;
    Ok(bytes)
}

#[test]
fn an_image_of_a_plain_registry_on_loopback_is_read_whole_and_as_it_was_pushed() {
    let (home, served) = (Home::process(), Served::plain());
    served.push(&base(), "base:1");
    let (door, of) = (door(&home, &[], &[]), image(&served.address(), "base:1"));
    let resolved = door.resolve(&of, PLATFORM).unwrap();
    assert_eq!(resolved.digest.to_string(), served.digest("base:1"));
    let manifest = door.manifest(&of, Some(&resolved.digest), PLATFORM).unwrap();
    assert_eq!(Digest::of(&manifest.bytes), resolved.digest);
    for part in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = whole(&door, &of, part).unwrap();
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (part.size, part.digest));
        let mut rest = Vec::new();
        let from = part.size / 2;
        door.blob(&of, part, from, &mut |more| rest.write_all(more)).unwrap();
        assert_eq!(rest, bytes[usize::try_from(from).unwrap()..]);
    }
    let absent = door.resolve(&image(&served.address(), "base:2"), PLATFORM).unwrap_err();
    assert!(matches!(absent, RegistryError::NotFound { .. }), "{absent}");
    let bad = Digest::of(b"nothing of it");
    let absent = door.manifest(&of, Some(&bad), PLATFORM).unwrap_err();
    assert!(matches!(absent, RegistryError::NotFound { .. }), "{absent}");
}

#[test]
fn tls_is_spoken_with_whom_an_authority_vouches_for_and_never_switched_off() {
    let (home, served) = (Home::process(), Served::tls());
    served.push(&base(), "base:1");
    let (host, of) = (served.address(), image(&served.address(), "base:1"));
    let error = door(&home, &[], &[]).resolve(&of, PLATFORM).unwrap_err();
    assert!(matches!(error, RegistryError::Untrusted { .. }), "{error:?}");
    assert!(error.hint().contains("ca-certs"), "{}", error.hint());
    let trusted = door(&home, &[], &[(&host, trusting(&served.authority()))]);
    assert_eq!(trusted.resolve(&of, PLATFORM).unwrap().digest.to_string(), served.digest("base:1"));
    let insecure = HostSettings { insecure: true, ..HostSettings::default() };
    let error = door(&home, &[], &[(&host, insecure)]).resolve(&of, PLATFORM).unwrap_err();
    assert!(matches!(error, RegistryError::Status { status: 400, .. }), "{error:?}");
    let plain = Served::plain();
    let (host, of) = (plain.address(), image(&plain.address(), "base:1"));
    let asked = door(&home, &[], &[(&host, trusting(&served.authority()))]);
    let error = asked.resolve(&of, PLATFORM).unwrap_err();
    assert!(matches!(error, RegistryError::Plain { .. }), "{error:?}");
    assert!(error.hint().contains("--insecure"), "{}", error.hint());
}

#[test]
fn logins_are_looked_up_in_their_order_and_the_first_that_answers_counts() {
    let (home, served) = (Home::process(), Served::with_auth("ana", "right"));
    served.push(&base(), "base:1");
    let (host, of) = (served.address(), image(&served.address(), "base:1"));
    let docker = home.scratch("docker");
    fs::create_dir(&docker).unwrap();
    let folder = docker.to_str().unwrap();
    let who = |variables: &[(&str, &str)]| match door(&home, variables, &[]).resolve(&of, PLATFORM)
    {
        Ok(_) => "in".to_owned(),
        Err(RegistryError::Denied { who, .. }) => who,
        Err(error) => panic!("{error:?}"),
    };
    let docker_config = ("DOCKER_CONFIG", folder);
    assert_eq!(who(&[docker_config]), "anybody");
    put(&docker.join("config.json"), &auths(&host, "eve:wrong"));
    assert!(who(&[docker_config]).contains("eve (of "));
    put(&home.path().join("registry-auth.json"), &auths(&host, "ana:right"));
    assert_eq!(who(&[docker_config]), "in");
    let variable = auths(&host, "bob:wrong");
    let variable = ("MSB_REGISTRY_AUTH", variable.as_str());
    assert_eq!(who(&[docker_config, variable]), "bob (of MSB_REGISTRY_AUTH)");
    let other = auths("other.example", "bob:wrong");
    assert_eq!(who(&[docker_config, ("MSB_REGISTRY_AUTH", &other)]), "in");
    let broken = door(&home, &[("MSB_REGISTRY_AUTH", "hunter2")], &[]);
    let error = broken.resolve(&of, PLATFORM).unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("MSB_REGISTRY_AUTH") && !told.contains("hunter2"), "{told}");
    assert_eq!(error.code(), "msb::usage::value");
}

#[test]
fn a_helper_program_is_asked_with_little_environment_and_not_for_long() {
    let (home, served) = (Home::process(), Served::with_auth("ana", "right"));
    served.push(&base(), "base:1");
    let (host, of) = (served.address(), image(&served.address(), "base:1"));
    let (docker, seen) = (home.scratch("docker"), home.scratch("seen"));
    fs::create_dir(&docker).unwrap();
    let program = |name: &str, script: &str| {
        let path = docker.join(format!("docker-credential-{name}"));
        put(&path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let say = "echo '{\"ServerURL\":\"x\",\"Username\":\"ana\",\"Secret\":\"right\"}'";
    program("good", &format!("env | sort > {0}; cat >> {0}; {say}", seen.display()));
    program("slow", "sleep 60");
    program("broken", "echo hunter2; exit 1");
    let path = format!("{}:/usr/bin:/bin", docker.display());
    let asked = |name: &str| {
        let config = json!({ "credHelpers": { &host: name } }).to_string();
        put(&docker.join("config.json"), &config);
        let folder = docker.to_str().unwrap();
        let variables = [("DOCKER_CONFIG", folder), ("PATH", &path), ("TOP_SECRET", "x")];
        door(&home, &variables, &[]).resolve(&of, PLATFORM)
    };
    asked("good").unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    let names: Vec<_> = seen.lines().map(|line| line.split('=').next().unwrap()).collect();
    let known = ["DOCKER_CONFIG", "HOME", "PATH", "PWD", "_", "SHLVL", "OLDPWD", host.as_str()];
    assert!(names.iter().all(|name| known.contains(name)), "{seen}");
    assert!(names.contains(&host.as_str()), "{seen}");
    let (slow, took) = tests::run::lasted(|| asked("slow").unwrap_err());
    assert!((5..30).contains(&took.as_secs()), "{took:?}");
    for (error, said) in [
        (slow, "gave no answer in 5 s"),
        (asked("broken").unwrap_err(), "docker-credential-broken failed"),
        (asked("../evil").unwrap_err(), "no name of a program"),
    ] {
        let RegistryError::Denied { who, said: why, .. } = &error else { panic!("{error:?}") };
        let why = why.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(who == "anybody" && !why.contains("hunter2"), "{who}: {why}");
        assert!(why.contains(said) || why.contains("authentication required"), "{why}");
    }
}

/// Starts a registry whose token server is at `realm`, and which takes the token `good`.
fn with_realm(realm: String) -> Listener {
    Listener::start(move |head| {
        if head.contains("authorization: bearer good") {
            let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
            let digest = format!("docker-content-digest: {}", Digest::of(b"x"));
            return answer("200 OK", &[kind, &digest], "");
        }
        let challenge = format!("www-authenticate: Bearer realm=\"{realm}\",service=\"s\"");
        answer("401 Unauthorized", &[&challenge], "")
    })
}

#[test]
fn a_login_is_shown_to_a_token_server_of_the_same_house_and_to_no_other() {
    let home = Home::process();
    let tokens = || {
        Listener::start(|head| {
            let known = head.contains("authorization: basic ");
            let token = if known { "good" } else { "weak" };
            answer("200 OK", &[], &json!({ "token": token }).to_string())
        })
    };
    let asked = |tokens: &Listener, realm_host: &str, entry: HostSettings| {
        let port = tokens.address.rsplit(':').next().unwrap();
        let served = with_realm(format!("http://{realm_host}:{port}/token"));
        let auth = auths(&served.address, "ana:right");
        let of = image(&served.address, "a/b:1");
        let hosts = [(served.address.as_str(), entry)];
        door(&home, &[("MSB_REGISTRY_AUTH", &auth)], &hosts).resolve(&of, PLATFORM)
    };
    let saw = |tokens: &Listener| tokens.heads().iter().any(|head| head.contains("authorization"));

    let same = tokens();
    asked(&same, "127.0.0.1", HostSettings::default()).unwrap();
    assert!(saw(&same) && same.heads()[0].contains("scope=repository%3aa%2fb%3apull"));

    let foreign = tokens();
    let error = asked(&foreign, "localhost", HostSettings::default()).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    assert!(!foreign.heads().is_empty() && !saw(&foreign), "{:?}", foreign.heads());

    let named = tokens();
    let entry =
        HostSettings { token_realm: Some("localhost".to_owned()), ..HostSettings::default() };
    asked(&named, "localhost", entry).unwrap();
    assert!(saw(&named));
}

#[test]
fn a_login_does_not_follow_a_redirect_to_another_host() {
    let home = Home::process();
    let bytes = "x".repeat(1000);
    let stored = bytes.clone();
    let store = Listener::start(move |_| answer("200 OK", &[], &stored));
    let place = format!("location: http://{}/there", store.address);
    let served = Listener::start(move |head| {
        if head.contains("authorization: basic ") {
            answer("307 Temporary Redirect", &[&place], "")
        } else {
            answer("401 Unauthorized", &["www-authenticate: Basic realm=\"x\""], "")
        }
    });
    let auth = auths(&served.address, "ana:right");
    let door = door(&home, &[("MSB_REGISTRY_AUTH", &auth)], &[]);
    let digest = Digest::of(bytes.as_bytes());
    let part = Descriptor { media_type: String::new(), digest, size: 1000 };
    let of = image(&served.address, "a:1");
    assert_eq!(whole(&door, &of, &part).unwrap(), bytes.as_bytes());
    let heads = store.heads();
    assert!(heads.len() == 1 && !heads[0].contains("authorization"), "{heads:?}");
    // A server that knows no ranges begins anew, and what was there is left out.
    let mut rest = Vec::new();
    door.blob(&of, &part, 990, &mut |more| rest.write_all(more)).unwrap();
    assert_eq!(rest.len(), 10);
    let short = Descriptor { size: 999, ..part };
    let error = whole(&door, &of, &short).unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
}

#[test]
fn a_connection_that_is_cut_is_taken_up_where_it_was() {
    let (home, served) = (Home::process(), Served::plain());
    served.push(&base(), "base:1");
    let cutter = Cutter::start(served.address(), 64 << 10, 2);
    let (door, of) = (door(&home, &[], &[]), image(&cutter.address, "base:1"));
    let manifest = door.manifest(&of, None, PLATFORM).unwrap();
    let layer = &manifest.layers[0];
    assert!(layer.size > 200 << 10, "{layer:?}");
    let bytes = whole(&door, &of, layer).unwrap();
    assert_eq!(Digest::of(&bytes), layer.digest);
    assert_eq!(cutter.cut.load(Ordering::Relaxed), 2);
    let again = cutter.passed.load(Ordering::Relaxed) - layer.size;
    assert!(again < 200 << 10, "{again} bytes more than the layer has");
    let never = Cutter::start(served.address(), 1 << 10, u32::MAX);
    let of = image(&never.address, "base:1");
    let error = whole(&door, &of, layer).unwrap_err();
    assert!(matches!(error, RegistryError::Cut { .. }), "{error:?}");
    assert_eq!(never.cut.load(Ordering::Relaxed), 3);
}

#[test]
fn what_passes_by_itself_is_tried_three_times_and_a_denial_once() {
    let home = Home::process();
    for (status, tries) in [("503 Busy", 3), ("429 Slower", 3), ("403 No", 1), ("404 No", 1)] {
        let served = Listener::start(move |_| answer(status, &[], r#"{"message":"\u001b[2Jno"}"#));
        let of = image(&served.address, "a:1");
        let error = door(&home, &[], &[]).manifest(&of, None, PLATFORM).unwrap_err();
        assert_eq!(served.heads().len(), tries, "{status}: {error:?}");
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(said, "no", "{status}");
    }
}

#[test]
fn the_platform_is_chosen_in_an_index_and_what_there_is_is_told() {
    let home = Home::process();
    let entry = |bytes: &str, kind: &str, platform: Option<&str>| {
        let mut one = json!({ "mediaType": kind, "digest": Digest::of(bytes.as_bytes()).to_string(),
                              "size": bytes.len() });
        if let Some((os, architecture)) = platform.and_then(|one| one.split_once('/')) {
            one["platform"] = json!({ "os": os, "architecture": architecture });
        }
        one
    };
    let manifest = |mark: &str| {
        let part = entry(mark, "application/vnd.oci.image.config.v1+json", None);
        let layer = entry(mark, "application/vnd.oci.image.layer.v1.tar", None);
        json!({ "schemaVersion": 2, "config": part, "layers": [layer] }).to_string()
    };
    let (kind, index) =
        ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json");
    let list = |entries: Vec<serde_json::Value>| {
        json!({ "schemaVersion": 2, "mediaType": index, "manifests": entries }).to_string()
    };
    let (first, second, arm) = (manifest("1"), manifest("2"), manifest("arm"));
    let inner = list(vec![entry(&arm, kind, Some("linux/arm64"))]);
    let top = list(vec![
        entry("note", kind, Some("unknown/unknown")),
        entry(&inner, index, None),
        entry(&first, kind, Some("linux/amd64")),
        entry(&second, kind, Some("linux/amd64")),
    ]);
    let mut documents = BTreeMap::new();
    for (text, kind) in [(&first, kind), (&second, kind), (&arm, kind), (&inner, index)] {
        documents.insert(Digest::of(text.as_bytes()).to_string(), (text.clone(), kind));
    }
    let lie = Digest::of(b"a lie").to_string();
    documents.insert(lie.clone(), (first.clone(), kind));
    documents.insert("1".to_owned(), (top, index));
    let served = Listener::start(move |head| {
        let target = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let Some((text, kind)) = documents.get(target) else {
            return answer("404 Not Found", &[], "");
        };
        answer("200 OK", &[&format!("content-type: {kind}")], text)
    });
    let (door, of) = (door(&home, &[], &[]), image(&served.address, "a:1"));
    let digest = |text: &str| Digest::of(text.as_bytes());
    assert_eq!(door.manifest(&of, None, "linux/amd64").unwrap().digest, digest(&first));
    assert_eq!(door.manifest(&of, None, "linux/arm64").unwrap().digest, digest(&arm));
    let error = door.manifest(&of, None, "linux/riscv64").unwrap_err();
    let RegistryError::Unresolved { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(found, &["linux/amd64", "linux/arm64"]);
    let error = door.manifest(&of, Digest::parse(&lie).as_ref(), PLATFORM).unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error:?}");
}

#[test]
fn requests_go_through_a_proxy_but_for_hosts_that_need_none() {
    let home = Home::process();
    let proxy = Listener::start(|_| answer("403 No", &[], ""));
    let address = format!("http://{}", proxy.address);
    let insecure = HostSettings { insecure: true, ..HostSettings::default() };
    let host = "registry.invalid:5000";
    let asked = |none: &str, host: &str| {
        let variables = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", none)];
        let door = door(&home, &variables, &[(host, insecure.clone())]);
        door.resolve(&image(host, "a/b:1"), PLATFORM).unwrap_err()
    };
    let error = asked("other.invalid", host);
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    let heads = proxy.heads();
    assert!(heads[0].starts_with(&format!("head http://{host}/v2/a/b/manifests/1 ")), "{heads:?}");
    let error = asked(".invalid", host);
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    let error = asked("other.invalid", "127.0.0.1:1");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    assert_eq!(proxy.heads().len(), 1);
}

#[test]
fn a_document_without_end_is_left_after_four_mebibytes() {
    let home = Home::process();
    let served = Listener::start(|_| answer("200 OK", &[], &"x".repeat(5 << 20)));
    let of = image(&served.address, "a:1");
    let error = door(&home, &[], &[]).manifest(&of, None, PLATFORM).unwrap_err();
    assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
    let closed = door(&home, &[], &[]).resolve(&image("127.0.0.1:1", "a:1"), PLATFORM);
    let error = closed.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_login_is_tried_before_it_is_kept_and_listed_without_its_password() {
    let (home, served) = (Home::process(), Served::with_auth("ana", "right horse"));
    let host = served.address();
    let (good, bad) = (home.scratch("good"), home.scratch("bad"));
    put(&good, "right horse\n");
    put(&bad, "hunter2\n");
    let login = ["registry", "login", &host, "-u", "ana", "--password-stdin"];
    let run = home.msb_reading(login, &bad);
    let run = run.exits(1).complains(&["msb::registry::denied", "nothing was kept"]);
    assert!(!run.stderr.contains("hunter2"), "{run}");
    let file = home.path().join("registry-auth.json");
    assert!(!file.exists());
    home.msb(["registry", "ls"]).exits(0).complains(&["no logins"]);
    home.msb_reading(login, &good).exits(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = home.msb(["registry", "ls", "--output", "json"]).exits(0);
    let row = json!([{ "host": host, "user": "ana", "source": "registry-auth.json" }]);
    assert_eq!(listed.json(), row);
    assert!(home.msb(["registry", "ls"]).stdout.starts_with("HOST "));
    home.msb(["registry", "logout", &host]).exits(0);
    assert_eq!(home.msb(["registry", "ls", "--output", "json"]).json(), json!([]));
    home.msb(["registry", "logout", &host]).exits(0).complains(&["no login kept"]);
    home.msb(["registry", "login", &host, "-u", "ana"]).exits(64).complains(&["--password-stdin"]);
    home.msb(["registry", "login", "https://x", "-u", "ana"]).exits(64);
}
