//! The worked example of the language: two files, one project.

use crate::name::InstanceName;
use crate::project::Project;
use crate::sandboxfile::resolve::network_tests::read;
use crate::widening::grants;

const KDL: &str = include_str!("worked_example/Sandboxfile.kdl");
const YAML: &str = include_str!("worked_example/Sandboxfile.yaml");

fn project(name: &str, text: &str) -> Project {
    match read(name, text) {
        Ok(resolved) => resolved.project,
        Err(failed) => panic!("{}", failed.plain()),
    }
}

#[test]
fn sf_t2_the_worked_example_is_one_project_in_both_formats() {
    let (kdl, yaml) = (project("Sandboxfile.kdl", KDL), project("Sandboxfile.yaml", YAML));
    assert_eq!(kdl, yaml);
    let names: Vec<String> = kdl.sandboxes.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["db", "migrate", "web[0]", "web[1]"]);
}

#[test]
fn the_worked_example_reaches_what_it_says() {
    let project = project("Sandboxfile.kdl", KDL);
    let fields = |name: &str| -> Vec<String> {
        let body = &project.sandboxes[&InstanceName::parse(name).unwrap()];
        let ours = ["ports.", "connect.", "network.preset", "network.rules", "network.limits"];
        let ours = |path: &str| ours.iter().any(|start| path.starts_with(start));
        let fields = body.fields().into_iter().filter(|(path, _)| ours(path));
        fields.map(|(path, value)| format!("{path}={value}")).collect()
    };
    let web = [
        "connect.db.as=db",
        "connect.db.ports=5432",
        "network.limits.egress=20 MiB/s",
        "network.limits.max-connections=512",
        "network.preset=none",
        "network.rules.0=allow api.stripe.example tcp/443",
        "network.rules.1=allow *.acme.example tcp/443,8443",
        "ports.8080-8081/tcp=8080",
    ];
    assert_eq!(fields("web[0]"), web);
    assert_eq!(fields("web[1]"), web);
    assert_eq!(fields("db"), ["network.limits.max-connections=1024", "network.preset=none"]);
    let web = &project.sandboxes[&InstanceName::parse("web[1]").unwrap()];
    assert!(web.network.tls.intercept);
    assert_eq!(web.ports[0].of_instance(1).unwrap().key(), "8081/tcp");
    let told: Vec<String> = grants(web).into_iter().map(|grant| grant.text).collect();
    let place = project.folder.join("static").display().to_string();
    let expected = [
        format!("host + dir {place} at /srv/static ro"),
        "connect + db 5432".to_owned(),
        "secret stripe + api.stripe.example".to_owned(),
    ];
    assert_eq!(told, expected);
}
