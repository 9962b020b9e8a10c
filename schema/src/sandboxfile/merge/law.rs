//! The merge law in words, a row a shape; `msb help merge` prints it.

/// What laying one layer over another does to a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Law {
    /// The shape, as the reference names it.
    pub shape: &'static str,
    /// What becomes of it.
    pub effect: &'static str,
    /// An example: the lower layer, the upper layer, and what comes of them.
    pub example: [&'static str; 3],
}

/// The law, whole.
pub const LAW: &[Law] = &[
    Law {
        shape: "value",
        effect: "the upper one replaces",
        example: ["workdir \"/a\"", "workdir \"/b\"", "workdir \"/b\""],
    },
    Law {
        shape: "list",
        effect: "the upper one replaces whole; there is no append",
        example: ["command \"a\" \"b\"", "command \"c\"", "command \"c\""],
    },
    Law {
        shape: "line",
        effect: "merges: the value and each property by itself",
        example: [
            "memory \"1GiB\" max=\"2GiB\"",
            "memory \"512MiB\"",
            "memory \"512MiB\" max=\"2GiB\"",
        ],
    },
    Law {
        shape: "block",
        effect: "merges by key, deeply",
        example: [
            "restart \"always\" { max 3 }",
            "restart { window \"1m\" }",
            "restart \"always\" { max 3; window \"1m\" }",
        ],
    },
    Law {
        shape: "map",
        effect: "merges by key",
        example: ["env { A \"1\"; B \"2\" }", "env { B \"3\" }", "env { A \"1\"; B \"3\" }"],
    },
    Law {
        shape: "keyed nodes",
        effect: "merge by their name, deeply",
        example: [
            "mount \"/d\" { named \"a\"; options \"ro\" }",
            "mount \"/d\" { named \"b\" }",
            "mount \"/d\" { named \"b\"; options \"ro\" }",
        ],
    },
    Law {
        shape: "ports",
        effect: "merge by address, port of the host and protocol; by the guest's port where the host's is auto",
        example: ["port guest=80 host=8080", "port guest=90 host=8080", "port guest=90 host=8080"],
    },
    Law {
        shape: "rules",
        effect: "the upper ones replace whole",
        example: [
            "network { rules { allow \"any\" } }",
            "network { rules { deny \"any\" } }",
            "network { rules { deny \"any\" } }",
        ],
    },
    Law {
        shape: "one of several kinds",
        effect: "writing another kind drops the lower one: root, mount, probe, sources",
        example: [
            "ready { tcp 80; timeout \"9s\" }",
            "ready { exec \"true\" }",
            "ready { exec \"true\"; timeout \"9s\" }",
        ],
    },
    Law {
        shape: "remove",
        effect: "takes out of the layers below before its own layer adds",
        example: ["env { A \"1\"; B \"2\" }", "remove { env \"A\" }", "env { B \"2\" }"],
    },
];
