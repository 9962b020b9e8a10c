//! Examples by data: a wish, a host, and the plan in short words.

use std::collections::BTreeMap;

use schema::change::Class;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::network::PortSet;
use schema::project::{
    ArgumentList, Body, Connect, Definition, Dependency, FileChange, FileMount, GuestPath,
    HostEnsure, ImageRef, Kind, Mount, MountOptions, MountSource, OnChange, Origins, Project,
    Sandbox, Until, Volume, VolumeKind,
};
use schema::units::Bytes;

use super::{Action, Inputs, Op, Plan, Selection, Wish, document, plan, show};
use crate::observe::{Observed, Seen, SeenMachine, SeenVolume, Source};
use crate::store::inventory::{MachineRow, ProjectRow, Role, SandboxRow, VolumeRow, VolumeUse};

/// Reads `db=1`, `web=2>db`, `job seed=1>db`: a name, an image's tag, what it depends on.
fn project(text: &str) -> Project {
    let name = ProjectName::parse("shop").unwrap();
    let mut project = Project::empty(name, "/srv/shop".into());
    for word in text.split(", ").filter(|word| !word.is_empty()) {
        let (kind, word) = match word.strip_prefix("job ") {
            Some(word) => (Kind::Job, word),
            None => (Kind::Service, word),
        };
        let (word, needs) = word.split_once('>').unwrap_or((word, ""));
        let (name, tag) = word.split_once('=').unwrap();
        let mut sandbox = Sandbox::new(kind, ImageRef::parse(&format!("app:{tag}")).unwrap());
        for target in needs.split('+').filter(|target| !target.is_empty()) {
            let (target, on_change) = match target.strip_suffix('!') {
                Some(target) => (target, OnChange::Restart),
                None => (target, OnChange::Ignore),
            };
            let dependency = Dependency { until: Until::Ready, optional: false, on_change };
            sandbox.depends_on.insert(InstanceName::parse(target).unwrap(), dependency);
        }
        project.sandboxes.insert(InstanceName::parse(name).unwrap(), sandbox.into());
    }
    project
}

fn wish(text: &str) -> Wish {
    Wish::new(project(text), Origins::default(), Inputs::default(), "/srv/shop/Sandboxfile".into())
}

/// Reads `db=1:Ready`: the project as above, each with the phase its machine is in.
fn observed(text: &str) -> Observed {
    let mut phases = BTreeMap::new();
    let mut words = Vec::new();
    for word in text.split(", ").filter(|word| !word.is_empty()) {
        let (word, phase) = word.rsplit_once(':').unwrap();
        let name = word.trim_start_matches("job ").split('=').next().unwrap();
        let phase = Phase::ALL.into_iter().find(|p| p.as_str() == phase).unwrap();
        phases.insert(InstanceName::parse(name).unwrap(), phase);
        words.push(word);
    }
    let project = project(&words.join(", "));
    let seen = |(name, sandbox): (InstanceName, Body)| {
        let phase = phases[&name];
        (name.clone(), seen(&name, sandbox, phase))
    };
    let row = ProjectRow {
        id: "p".into(),
        name: project.name.clone(),
        folder: project.folder.clone(),
        files: Vec::new(),
        generation: 1,
        updated_at: String::new(),
    };
    Observed {
        project: Some(row),
        sandboxes: project
            .sandboxes
            .into_iter()
            .map(seen)
            .map(|(name, seen)| (name, Box::new(seen)))
            .collect(),
        ..Observed::default()
    }
}

fn seen(name: &InstanceName, sandbox: Body, phase: Phase) -> Seen {
    let row = SandboxRow {
        id: format!("id-{name}"),
        project_id: "p".into(),
        name: name.clone(),
        kind: sandbox.kind,
        desired: Some(sandbox.digest().to_owned()),
        applied: Some(sandbox.digest().to_owned()),
        generation: 1,
        observed: 1,
        protect: sandbox.lifecycle.protect,
        keep: sandbox.lifecycle.keep,
        completed_code: None,
        created_at: String::new(),
    };
    let machine = MachineRow {
        id: format!("m-{name}"),
        sandbox_id: row.id.clone(),
        role: Role::Current,
        nonce: String::new(),
        driver: None,
        pid: None,
        phase,
        reason: None,
        exit_code: None,
        image_digest: None,
        effective: schema::record::Effective::default(),
        started_at: None,
        ended_at: None,
        stamp: None,
    };
    let alive = phase.has_machine();
    let machine = SeenMachine {
        row: machine,
        alive,
        phase,
        reason: None,
        detail: None,
        record: None,
        recreated: None,
    };
    Seen {
        row,
        applied: Some(sandbox.clone()),
        desired: Some(sandbox),
        machine: Some(machine),
        others: Vec::new(),
        sensitive: BTreeMap::new(),
    }
}

fn words(plan: &Plan) -> String {
    let words = plan.changes.iter().map(|c| format!("{} {}", c.action.as_str(), c.address.name()));
    let refused = plan.refused.iter().map(|refusal| format!("refused {}", refusal.code));
    words.chain(refused).collect::<Vec<_>>().join(", ")
}

fn check(wanted: &str, found: &str, expected: &str) {
    let plan = plan(&wish(wanted), &observed(found));
    assert_eq!(words(&plan), expected, "{wanted} against {found}");
}

#[test]
fn what_is_in_order_stays() {
    check("db=1, web=1>db", "db=1:Ready, web=1>db:Ready", "");
    check("job seed=1", "job seed=1:Completed", "");
    check("db=1", "db=1:Degraded", "");
}

#[test]
fn what_is_new_is_made_and_what_left_goes() {
    check("db=1, web=1", "", "create db, create web");
    check("db=1", "db=1:Ready, web=1:Ready", "destroy web");
    check("", "web=1:Ready", "destroy web, refused msb::plan::mass-delete");
}

#[test]
fn a_changed_image_makes_a_new_machine() {
    check("web=2", "web=1:Ready", "recreate web");
    check("job seed=2", "job seed=1:Completed", "recreate seed");
}

#[test]
fn what_rests_is_started_and_a_failed_job_runs_again() {
    check("db=1", "db=1:Stopped", "start db");
    check("db=1", "db=1:Failed", "start db");
    check("db=1", "db=1:Stalled", "start db");
    check("job seed=1", "job seed=1:Failed", "recreate seed");
    check("job seed=1", "job seed=1:Starting", "");
}

#[test]
fn a_dependent_restarts_only_where_it_asked_to() {
    check("db=2, web=1>db", "db=1:Ready, web=1>db:Ready", "recreate db");
    check("db=2, web=1>db!", "db=1:Ready, web=1>db!:Ready", "recreate db, restart web");
}

#[test]
fn a_name_of_another_folder_is_refused() {
    let mut wish = wish("db=1");
    wish.project.folder = "/elsewhere".into();
    let plan = plan(&wish, &observed("db=1:Ready"));
    assert_eq!(words(&plan), "refused msb::owner::elsewhere");
}

#[test]
fn what_is_protected_stays_although_it_left_the_file() {
    let mut host = observed("db=1:Ready, web=1:Ready");
    for seen in host.sandboxes.values_mut() {
        seen.row.protect = true;
    }
    assert_eq!(words(&plan(&wish("db=1"), &host)), "refused msb::protect::refused");
}

#[test]
fn a_part_never_removes() {
    let mut wish = wish("db=1, web=1>db, other=2");
    let web = InstanceName::parse("web").unwrap();
    wish.selection = Selection { names: [web].into(), ..Selection::default() };
    let plan = plan(&wish, &observed("gone=1:Ready, other=1:Ready"));
    assert_eq!(words(&plan), "create db, create web");
    assert!(
        show::show(&plan, &wish.project, show::Layout::default())
            .contains("removals not considered")
    );
}

/// The operations of a plan, each with what it waits for.
fn steps(plan: &Plan) -> Vec<String> {
    let step =
        |id| plan.step(id).map(|step| format!("{} {}", step.op.as_str(), step.address.name()));
    plan.steps
        .iter()
        .map(|one| {
            let after: Vec<String> = one.after.iter().filter_map(|edge| step(edge.step)).collect();
            format!("{} < {}", step(one.id).unwrap(), after.join(", "))
        })
        .collect()
}

#[test]
fn a_boot_waits_for_the_gate_of_what_it_depends_on() {
    let plan = plan(&wish("db=1, web=1>db"), &observed(""));
    assert_eq!(
        steps(&plan),
        [
            "prepare db < ",
            "boot db < prepare db",
            "gate db < boot db",
            "prepare web < ",
            "boot web < gate db, prepare web",
            "gate web < boot web",
        ]
    );
}

#[test]
fn a_new_root_is_ready_before_the_old_machine_stops() {
    let plan = plan(&wish("web=2"), &observed("web=1:Ready"));
    let ops: Vec<Op> = plan.steps.iter().map(|step| step.op).collect();
    assert_eq!(ops, [Op::Prepare, Op::Stop, Op::Boot, Op::Gate, Op::Retire]);
}

#[test]
fn removals_go_against_the_order_of_starts() {
    let mut down = wish("");
    down.goal = super::Goal::Down;
    let plan = plan(&down, &observed("db=1:Ready, web=1>db:Ready"));
    assert_eq!(words(&plan), "destroy db, destroy web");
    assert_eq!(
        steps(&plan),
        [
            "stop web < ",
            "discard web < stop web",
            "stop db < stop web, discard web",
            "discard db < discard web, stop db"
        ]
    );
}

#[test]
fn what_runs_and_needs_what_goes_is_in_the_way() {
    let mut down = wish("");
    down.goal = super::Goal::Down;
    down.selection.names = [InstanceName::parse("db").unwrap()].into();
    let found = observed("db=1:Ready, web=1>db:Ready");
    assert_eq!(words(&plan(&down, &found)), "destroy db, refused msb::plan::dependents");
    down.selection.reach = super::Reach::Dependents;
    assert_eq!(words(&plan(&down, &found)), "destroy db, destroy web");
}

/// Publishes a port of the host on port 80 of a sandbox.
fn publish(sandbox: &mut Sandbox, host: &str) {
    use schema::project::network::PortRange;
    use schema::project::{HostPorts, PublishedPort, Transport};
    let host = HostPorts::parse(host).unwrap();
    let guest = PortRange::parse("80").unwrap();
    let (protocol, bind) = (Transport::Tcp, PublishedPort::BIND);
    sandbox.ports = vec![PublishedPort { protocol, bind, host, guest }];
}

#[test]
fn a_port_is_taken_after_it_was_let_go() {
    let name = |text| InstanceName::parse(text).unwrap();
    let mut found = observed("a=1:Ready, b=1:Ready, gone=1:Ready");
    for (who, port) in [("a", "8080"), ("gone", "9090")] {
        let seen = found.sandboxes.get_mut(&name(who)).unwrap();
        let mut body = seen.applied.clone().unwrap();
        publish(&mut body, port);
        let digest = Some(body.digest().to_owned());
        (seen.row.applied, seen.row.desired) = (digest.clone(), digest);
        (seen.applied, seen.desired) = (Some(body.clone()), Some(body));
    }
    let mut wish = wish("a=1, b=1, new=1");
    for (who, port) in [("a", "8081"), ("b", "8080"), ("new", "9090")] {
        publish(wish.project.sandboxes.get_mut(&name(who)).unwrap(), port);
    }
    let plan = plan(&wish, &found);
    let steps = steps(&plan);
    assert!(steps.contains(&"update b < update a".to_owned()), "{steps:?}");
    assert!(steps.contains(&"boot new < stop gone, prepare new".to_owned()), "{steps:?}");

    // Two that change with each other: the plan is one all the same.
    let mut swapped = found.clone();
    let seen = swapped.sandboxes.get_mut(&name("b")).unwrap();
    let mut body = seen.applied.clone().unwrap();
    publish(&mut body, "8081");
    (seen.row.applied, seen.applied) = (Some(body.digest().to_owned()), Some(body));
    let swap = super::plan(&wish, &swapped);
    assert!(swap.steps.iter().filter(|step| step.op == Op::Update).count() == 2);
}

#[test]
fn a_change_names_field_values_class_and_place() {
    let mut wish = wish("web=1");
    let web = wish.project.sandboxes.values_mut().next().unwrap();
    web.memory.size = Bytes::gib(1);
    web.memory.max = Bytes::gib(1);
    let mut sources = schema::sandboxfile::source::Sources::default();
    sources.add("Sandboxfile".into(), "\n\n\n    memory \"1GiB\"\n".into());
    let mut origins = Origins::of(sources.into());
    let span = schema::sandboxfile::tree::Span { file: 0, start: 7, end: 13 };
    origins.at("sandbox.web").push(("memory".into(), span));
    wish.origins = origins.into();
    let plan = plan(&wish, &observed("web=1:Ready"));
    assert_eq!(plan.changes[0].action, Action::Restart);
    let text = show::show(&plan, &wish.project, show::Layout::default());
    let expected = "\
Project shop  /srv/shop/Sandboxfile

Changes
  ↻ sandbox.web  restart
      memory.max   512 MiB → 1 GiB  restart                                            Sandboxfile:4
      memory.size  512 MiB → 1 GiB  live                                               Sandboxfile:4

Plan: 1 restart (0 unchanged)
";
    assert_eq!(text, expected);
}

#[test]
fn sf_w4_what_is_told_of_a_change_is_still_waited_for_where_it_is_not_ready() {
    let ops = |phase: &str| {
        let mut wish = wish("web=1");
        let web = wish.project.sandboxes.values_mut().next().unwrap();
        web.stop_grace = schema::units::Millis(1000);
        let found = observed(&format!("web=1:{phase}"));
        plan(&wish, &found).steps.iter().map(|step| step.op).collect::<Vec<_>>()
    };
    assert_eq!(ops("Ready"), [Op::Update]);
    assert_eq!(ops("Starting"), [Op::Update, Op::Gate]);
}

#[test]
fn another_gate_needs_another_start_where_the_present_one_is_still_asked() {
    let action = |phase: &str| {
        let mut wish = wish("web=1");
        let web = wish.project.sandboxes.values_mut().next().unwrap();
        web.ready.timeout = schema::units::Millis(1000);
        plan(&wish, &observed(&format!("web=1:{phase}"))).changes[0].action
    };
    assert_eq!(action("Ready"), Action::Update);
    assert_eq!(action("Starting"), Action::Restart);
}

#[test]
fn equal_inputs_give_equal_bytes_and_every_key_is_there() {
    let make = || plan(&wish("db=2, web=1>db"), &observed("db=1:Ready, old=1:Ready"));
    let (first, second) = (document(&make()), document(&make()));
    assert_eq!(first.to_string(), second.to_string());
    for key in ["format_version", "plan_hash", "summary", "changes", "steps", "applyable", "inputs"]
    {
        assert!(first.get(key).is_some(), "{key}");
    }
    assert_eq!(first["summary"]["recreate"], 1);
}

#[test]
fn a_sleeping_command_changes_nothing_of_a_machine_without_one() {
    let mut wish = wish("web=1");
    let mut found = observed("web=1:Ready");
    let web = wish.project.sandboxes.values_mut().next().unwrap();
    web.command = ArgumentList::Nothing;
    web.shell = GuestPath::parse("/bin/bash").unwrap();
    let applied = found.sandboxes.values_mut().next().unwrap();
    applied.applied.as_mut().unwrap().command = ArgumentList::Nothing;
    assert_eq!(words(&plan(&wish, &found)), "update web");
}

/// Wishes for a disk of 64 MiB below `db`, which has one of 32.
fn growing() -> (Wish, Observed, VolumeName) {
    let mut wish = wish("db=1");
    let mut found = observed("db=1:Ready");
    let name = VolumeName::parse("data").unwrap();
    let mount = Mount {
        destination: GuestPath::parse("/data").unwrap(),
        source: MountSource::Named(name.clone()),
        options: MountOptions::default(),
    };
    wish.project.sandboxes.values_mut().next().unwrap().mounts.push(mount.clone());
    let db = found.sandboxes.values_mut().next().unwrap();
    db.applied.as_mut().unwrap().mounts.push(mount);
    let uses = vec![VolumeUse {
        volume_id: "v".into(),
        sandbox_id: db.row.id.clone(),
        destination: "/data".into(),
        mode: "rw".into(),
    }];
    wish.project.volumes.insert(name.clone(), disk(64));
    let row = VolumeRow {
        id: "v".into(),
        project_id: Some("p".into()),
        name: name.clone(),
        folder: "shop.data".into(),
        kind: VolumeKind::Disk,
        size_bytes: Some(Bytes::mib(32).0),
        quota_bytes: None,
        protect: false,
        labels: BTreeMap::new(),
        created_at: String::new(),
        trashed_at: None,
    };
    let owner = Some(wish.project.name.clone());
    found.volumes.insert(name.clone(), SeenVolume { row, owner, uses });
    (wish, found, name)
}

fn disk(mib: u64) -> Volume {
    Volume { kind: Some(VolumeKind::Disk), size: Some(Bytes::mib(mib)), ..Volume::unsaid() }
}

#[test]
fn a_volume_does_not_change_under_a_sandbox_that_is_let_go() {
    let (mut wish, mut found, name) = growing();
    wish.project.sandboxes.clear();
    wish.project.definitions.clear();
    found.sandboxes.values_mut().next().unwrap().row.keep = true;
    let grown = plan(&wish, &found);
    assert_eq!(words(&grown), "forget db, update data, refused msb::volume::in-use");
    assert!(grown.refused[0].text.contains("db, which is no longer in the file, has it"));
    wish.project.volumes.insert(name, disk(32));
    assert!(plan(&wish, &found).refused.is_empty(), "what does not change is nobody's loss");
}

#[test]
fn a_volume_is_not_made_anew_under_a_sandbox_of_another_project() {
    let (mut wish, mut found, name) = growing();
    let seen = found.volumes.get_mut(&name).unwrap();
    let theirs = VolumeUse { sandbox_id: "theirs".into(), ..seen.uses[0].clone() };
    seen.uses.push(theirs);
    assert!(plan(&wish, &found).refused.is_empty(), "it grows once they let it");
    wish.project.volumes.insert(name, disk(16));
    let shrunk = plan(&wish, &found);
    assert_eq!(shrunk.refused[0].code, "msb::volume::in-use");
    assert!(shrunk.refused[0].text.contains("a sandbox of another project has it"));
}

#[test]
fn a_volume_grows_while_its_user_rests() {
    let (mut wish, mut found, name) = growing();
    let grown = plan(&wish, &found);
    assert_eq!(words(&grown), "restart db, update data");
    assert_eq!(
        steps(&grown),
        [
            "stop db < ",
            "grow-volume data < stop db",
            "boot db < stop db, grow-volume data",
            "gate db < boot db",
        ]
    );
    wish.project.volumes.insert(name, disk(16));
    let shrunk = plan(&wish, &found);
    assert_eq!(words(&shrunk), "restart db, recreate data");
    assert_eq!(shrunk.summary().data_loss, 1);
    assert_eq!(
        steps(&shrunk),
        [
            "stop db < ",
            "trash-volume data < stop db",
            "ensure-volume data < trash-volume data",
            "boot db < stop db, ensure-volume data",
            "gate db < boot db",
        ]
    );
    found.volumes.values_mut().for_each(|volume| volume.row.protect = true);
    assert_eq!(words(&plan(&wish, &found)), "refused msb::protect::refused");
}

/// Plans for a sandbox or a job whose mounted file was `then` and is `now`.
fn followed(what: &str, on_change: &str, then: Option<&str>, now: Source) -> Plan {
    let (wanted, _) = what.rsplit_once(':').unwrap();
    let (mut wish, mut found) = (wish(wanted), observed(what));
    let mount = Mount {
        destination: GuestPath::parse("/etc/app.conf").unwrap(),
        source: MountSource::File(FileMount {
            path: "/srv/app.conf".into(),
            ensure: HostEnsure::MustExist,
            on_change: FileChange::parse(on_change).unwrap(),
        }),
        options: MountOptions::default(),
    };
    let (name, want) = wish.project.sandboxes.iter_mut().next().unwrap();
    let path = mount.content_path();
    found.sources.insert((name.clone(), path.clone()), now);
    want.mounts.push(mount);
    let want = want.clone();
    let seen = found.sandboxes.values_mut().next().unwrap();
    seen.applied = Some(want);
    seen.sensitive.extend(then.map(|then| (path, then.to_owned())));
    plan(&wish, &found)
}

#[test]
fn what_a_followed_file_holds_is_part_of_the_definition() {
    let moved = |what, on_change| {
        words(&followed(what, on_change, Some("a"), Source::Digest("b".to_owned())))
    };
    assert_eq!(moved("db=1:Ready", "restart"), "restart db");
    assert_eq!(moved("db=1:Ready", "signal:HUP"), "update db");
    assert_eq!(moved("db=1:Ready", "ignore"), "");
    assert_eq!(moved("db=1:Stopped", "signal:HUP"), "start db");
    assert_eq!(moved("job seed=1:Completed", "restart"), "recreate seed");
    assert_eq!(moved("job seed=1:Starting", "signal:HUP"), "update seed");
    let same = Source::Digest("a".to_owned());
    assert_eq!(words(&followed("db=1:Ready", "restart", Some("a"), same.clone())), "");
    assert_eq!(
        words(&followed("db=1:Ready", "restart", None, same)),
        "",
        "nothing to compare with"
    );
}

#[test]
fn a_followed_file_shows_short_digests_and_is_refused_where_it_is_too_large() {
    let now = Source::Digest("0123456789".repeat(6));
    let plan = followed("db=1:Ready", "signal:HUP", Some("abcdefabcdef"), now);
    let [change] = plan.changes.as_slice() else { panic!("{}", words(&plan)) };
    assert_eq!((change.reason.code, change.class), ("edited", Class::Live));
    let field = &change.fields[0];
    assert_eq!(field.path, "mounts./etc/app.conf.content");
    assert_eq!(field.before.as_deref(), Some("blake3:abcdefab"));
    assert_eq!(field.after.as_deref(), Some("blake3:01234567"));
    assert!(!field.sensitive && !field.widens);
    let large = followed("db=1:Ready", "restart", Some("a"), Source::TooLarge);
    assert_eq!(words(&large), "refused msb::mount::too-large");
    assert!(super::is_preflight(&large.refused[0]));
    let gone = followed("db=1:Ready", "restart", Some("a"), Source::Missing);
    assert!(words(&gone).is_empty() && gone.warnings[0].contains("content is not there"));
}

#[test]
fn a_service_whose_siblings_know_it_by_name_boots_under_its_new_one() {
    let mut wish = wish("database=1, web=1");
    let name = |text: &str| InstanceName::parse(text).unwrap();
    let was = Some(name("db").sandbox);
    let definition = Definition { moved_from: was, ..Definition::default() };
    wish.project.definitions.insert(name("database").sandbox, definition);
    let seen = observed("db=1:Ready, web=1:Ready");
    let action = |wish: &Wish| {
        let plan = plan(wish, &seen);
        let change = plan.changes.iter().find(|change| change.was.is_some()).unwrap();
        (change.action, change.reason.code)
    };
    assert_eq!(action(&wish), (Action::Move, "moved"));
    let ports = PortSet::parse("5432").unwrap();
    let connect = Connect { ports, alias: name("db").sandbox };
    let mut web = Sandbox::new(Kind::Service, ImageRef::parse("app:1").unwrap());
    web.connect.insert(name("database").sandbox, connect);
    wish.project.sandboxes.insert(name("web"), web.into());
    assert_eq!(action(&wish), (Action::Restart, "moved"));
}
