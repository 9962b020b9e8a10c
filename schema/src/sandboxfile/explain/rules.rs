//! Pages about references, and about what does not go together.

use super::{Page, page};
use crate::sandboxfile::problem::Code;

pub(super) const PAGES: &[Page] = &[
    page(
        Code::REF_UNKNOWN,
        "A name refers to a sandbox, job, template, volume or secret that is not there.",
        "depends-on \"bd\"",
        "Write the name that is proposed, or define it.",
    ),
    page(
        Code::REF_CYCLE,
        "Dependencies, templates or includes go in a circle, so none can be first.",
        "sandbox \"a\" { depends-on \"b\" }\nsandbox \"b\" { depends-on \"a\" }",
        "Remove one edge. `connect` gives network access without an order.",
    ),
    page(
        Code::REF_INACTIVE,
        "A required target is left out by the profiles of this run.",
        "depends-on \"mailhog\", which has profiles \"dev\"",
        "Give --profile, or write optional=#true.",
    ),
    page(
        Code::REF_NOTHING_TO_REMOVE,
        "A `remove` names something that no layer below has.",
        "remove { env \"DEBUG\" }",
        "Delete the line, or write the name that is proposed.",
    ),
    page(
        Code::RULE_PORT_CLASH,
        "Two instances publish the same port of the same address; 0.0.0.0 and :: are every address of their family.",
        "port guest=80 host=8080   # in two sandboxes",
        "Choose another port or address, or host=\"auto\".",
    ),
    page(
        Code::RULE_PORT_COUNT,
        "The ports on the host are not as many as those in the guest, for all instances together.",
        "replicas 3 with port guest=80 host=8080",
        "Write a range: host=\"8080-8082\", or host=\"auto\".",
    ),
    page(
        Code::RULE_MOUNT_CLASH,
        "Two things are mounted at one place.",
        "mount \"/data\" { … } twice",
        "Give each a place of its own.",
    ),
    page(
        Code::RULE_MOUNT_FORBIDDEN,
        "The place belongs to the guest: /, /proc, /sys, /dev and /.msb.",
        "mount \"/proc\" { tmpfs \"1MiB\" }",
        "Choose another place. A tmpfs may be at /dev/shm.",
    ),
    page(
        Code::RULE_VOLUME_CONFLICT,
        "A volume has two definitions that do not agree, or one in a mount beside its own node.",
        "named \"pg\" size=\"1GiB\" and, elsewhere, named \"pg\" size=\"2GiB\"",
        "Give it one node at the top of the file.",
    ),
    page(
        Code::RULE_DISK_SHARED,
        "A disk has one writer. Two machines that write it would destroy it.",
        "two sandboxes with mount \"/data\" { named \"pg\" }",
        "Give each its own volume, or mount one with options \"ro\".",
    ),
    page(
        Code::RULE_MAX_BELOW_VALUE,
        "The most that a machine may be given is less than what it has.",
        "cpus 4 max=2",
        "Raise max, or leave it out.",
    ),
    page(
        Code::RULE_COMMAND_IS_ONE_WORD,
        "The command is one word with blanks in it. No shell splits it, so there is no such program.",
        "command \"npm start\"",
        "Write command \"npm\" \"start\", or \"sh\" \"-c\" \"npm start\".",
    ),
    page(
        Code::RULE_UNTIL_NEEDS,
        "The target can never reach what is waited for: a sandbox never completes, a job without a probe is never ready.",
        "depends-on \"db\" until=\"completed\"",
        "Wait for something that it reaches, or give it what is missing.",
    ),
    page(
        Code::RULE_NETWORK_OFF,
        "A sandbox without a network device has ports, connections, secrets or rules, or another one connects to it.",
        "network { preset \"off\" } with port guest=80",
        "Choose another preset, such as \"none\", or leave them out.",
    ),
    page(
        Code::RULE_NEVER_MATCHES,
        "A rule of a network decides nothing: rules before it decide all that it is about, or nobody reaches that.",
        "network { rules { deny \"any\"; allow \"api.acme.example\" } }",
        "Move it before the one that decides, or delete it. The first rule that matches wins.",
    ),
    page(
        Code::RULE_NAMES_DENIED,
        "Rules open addresses, and no name at all may be looked up: every lookup is answered with no such name.",
        "network { preset \"none\"; rules { allow \"10.0.0.0/8\" } }",
        "Allow the names that are used, or write addresses where the guest connects.",
    ),
    page(
        Code::RULE_SECRET_NEEDS_TLS,
        "A secret is used, and TLS to its hosts is not opened, so nothing could put its value in.",
        "network { tls { intercept #false } }",
        "Leave `intercept` on and the hosts out of `bypass`, or write require-tls #false in the secret.",
    ),
    page(
        Code::RULE_SECRET_HOST_DENIED,
        "The network policy forbids every host that a secret may go to.",
        "network { preset \"none\" } and a secret for api.acme.example",
        "Add allow \"api.acme.example\" ports=443 to the rules, or do not use the secret here.",
    ),
    page(
        Code::RULE_SECRET_IN_VAR,
        "The name of a variable looks like a secret. Variables are public: plans and state hold them.",
        "var \"API_TOKEN\" from-env=\"API_TOKEN\"",
        "Use from-env in `env`, whose value is never shown or stored.",
    ),
    page(
        Code::RULE_SECRET_IN_ENV,
        "A value written in `env` looks like a key.",
        "env { TOKEN \"ghp_…\" }",
        "Use a `secret`, which the guest never sees, or from-env, so that the file can be shared.",
    ),
    page(
        Code::RULE_UNUSED_TEMPLATE,
        "No sandbox uses the template.",
        "template \"base\" { … } without from \"base\"",
        "Delete it, or write `from` where it is meant.",
    ),
    page(
        Code::SANDBOX_ZERO_CPUS,
        "A machine has at least one processor.",
        "cpus 0",
        "Write 1 or more.",
    ),
    page(
        Code::SANDBOX_ZERO_MEMORY,
        "A machine has memory.",
        "memory \"0MiB\"",
        "Write \"64MiB\" or more.",
    ),
];
