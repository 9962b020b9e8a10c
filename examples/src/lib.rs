//! Projects a person might want, one folder each; the suite runs them all.

/// One project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// Its folder, and the project's name.
    pub name: &'static str,
    /// The name of its Sandboxfile.
    pub file: &'static str,
    /// What the Sandboxfile says.
    pub text: &'static str,
    /// How many sandboxes and jobs it has.
    pub instances: usize,
    /// How many volumes.
    pub volumes: usize,
    /// The script that makes what it takes as there, where it does.
    pub prepare: Option<&'static str>,
}

/// Every example.
pub const ALL: [Example; 4] = [
    Example {
        name: "hello",
        file: "Sandboxfile",
        text: include_str!("../hello/Sandboxfile"),
        instances: 1,
        volumes: 0,
        prepare: None,
    },
    Example {
        name: "web-and-db",
        file: "Sandboxfile",
        text: include_str!("../web-and-db/Sandboxfile"),
        instances: 3,
        volumes: 1,
        prepare: None,
    },
    Example {
        name: "ci-job",
        file: "Sandboxfile.yaml",
        text: include_str!("../ci-job/Sandboxfile.yaml"),
        instances: 2,
        volumes: 0,
        prepare: None,
    },
    Example {
        name: "mounts",
        file: "Sandboxfile",
        text: include_str!("../mounts/Sandboxfile"),
        instances: 1,
        volumes: 2,
        prepare: Some(include_str!("../mounts/prepare")),
    },
];
