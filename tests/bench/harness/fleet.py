"""Projects of many sandboxes, for the benches of the language and the plan."""

JOB, SERVICE = ("job", "true"), ("sandbox", "sleep")
# Beyond what a project may have by itself; the host's own configuration raises it.
LIMITS = 'limits { file-bytes "16MiB"; instances 200000; seconds 60 }\n'


def kdl(count, kind, note="", memory=None):
    word, command = kind
    lines = [f"// {note}", 'project "fleet"']
    for at in range(count):
        lines.append(
            f'{word} "s{at:05}" {{\n'
            f'    image "builtin:base"\n'
            f'    memory "{(memory or {}).get(at, "64MiB")}"\n'
            f'    env {{ SHARD "{at}" }}\n'
            f'    command "{command}" "1000000"\n'
            f'    stop-grace "1s"\n'
            f"}}"
        )
    return "\n".join(lines) + "\n"


def yaml(count, kind, note=""):
    word, command = kind
    lines = [f"# {note}", "project: {name: fleet}", "jobs:" if word == "job" else "sandboxes:"]
    for at in range(count):
        lines.append(
            f"  s{at:05}:\n"
            f"    image: builtin:base\n"
            f"    memory: 64MiB\n"
            f'    env: {{SHARD: "{at}"}}\n'
            f'    command: ["{command}", "1000000"]\n'
            f"    stop-grace: 1s"
        )
    return "\n".join(lines) + "\n"


def replicas(count):
    return (
        'project "fleet"\n'
        'sandbox "s" {\n'
        '    image "builtin:base"\n'
        '    memory "64MiB"\n'
        '    command "sleep" "1000000"\n'
        '    stop-grace "1s"\n'
        f"    replicas {count}\n"
        "}\n"
    )


def allow_many(home, boots=None):
    """Raises the host's limits for files of this size, and how many machines boot at once."""
    parallel = f"parallel boots={boots}\n" if boots else ""
    with open(f"{home.state}/config.kdl", "w", encoding="utf-8") as file:
        file.write(LIMITS + parallel)
