"""Projects of many sandboxes, for the benches of the language and the plan."""

JOB, SERVICE = ("job", "true"), ("sandbox", "sleep")
# Beyond what a project may have by itself; the host's own configuration raises it.
LIMITS = 'limits { file-bytes "16MiB"; instances 20000 }\n'


def kdl(count, kind, note=""):
    word, command = kind
    lines = [f"// {note}", 'project "fleet"']
    for at in range(count):
        lines.append(
            f'{word} "s{at:05}" {{\n'
            f'    image "builtin:base"\n'
            f'    memory "64MiB"\n'
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


def allow_many(home):
    """Raises the host's limits for files of this size."""
    with open(f"{home.state}/config.kdl", "w", encoding="utf-8") as file:
        file.write(LIMITS)
