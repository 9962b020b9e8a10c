"""READ: the readers alone, from bytes to the tree, and how what they find wrong is printed."""

import os

from harness.report import Bar, Line
from harness.sample import alternate, summary

KDL = """sandbox "s{n:05}" {{
    image "ghcr.io/acme/web:1.4.2" pull="missing"
    memory "512MiB" max="1GiB"
    env {{ PORT 8080; NAME "s{n:05}" }}
    depends-on "s{below:05}"
}}
"""
YAML = """  s{n:05}:
    image: {{ref: "ghcr.io/acme/web:1.4.2", pull: missing}}
    memory: {{size: 512MiB, max: 1GiB}}
    env: {{PORT: 8080, NAME: s{n:05}}}
    depends-on: {{s{below:05}: }}
"""
FORMATS = {"KDL": ("kdl", "", KDL), "YAML": ("yaml", "sandboxes:\n", YAML)}
SANDBOXES = 10_000
MOST_S = {"KDL": 0.060, "YAML": 0.250}
PEAK_MOST_MIB = 64
# Twice the text takes at most so many times as long, from 64 KiB to 16 MiB.
DOUBLE_MOST = 2.3
SIZES_KIB = [64 << step for step in range(9)]
PROBLEMS, PROBLEMS_MOST_S = 100, 0.100
SCALE_SAMPLES = 5


def measure(workshop, count):
    home = workshop.home()
    reader = workshop.tool("bench-reader")

    def read(name):
        done = workshop.meter.run([reader, "read", os.path.join(home.project, name)])
        if done.status != 0:
            raise RuntimeError(f"{name} was not read: {done.err.decode(errors='replace').strip()}")
        return {"cpu": done.cpu_s, "peak": done.peak_mib}

    for name, (suffix, _, _) in FORMATS.items():
        home.write_pieces(f"many.{suffix}", sandboxes(name, SANDBOXES))
    subjects = {name: lambda suffix=suffix: read(f"many.{suffix}") for name, (suffix, _, _) in FORMATS.items()}
    taken = alternate(subjects, count)
    for name in FORMATS:
        yield Line("READ", f"{name}, {SANDBOXES} sandboxes, CPU", taken[name]["cpu"], bar=Bar(MOST_S[name]))
        bar = Bar(PEAK_MOST_MIB) if name == "KDL" else None
        yield Line("READ", f"{name}, {SANDBOXES} sandboxes, peak", taken[name]["peak"], unit="MiB", bar=bar)
    for name, (suffix, _, _) in FORMATS.items():
        times = []
        for size in SIZES_KIB:
            home.write_pieces(f"scale.{suffix}", sized(name, size << 10))
            samples = alternate({"read": lambda: read(f"scale.{suffix}")}, min(count, SCALE_SAMPLES))
            times.append(summary(samples["read"]["cpu"])["p50"])
        worst = max(after / before for before, after in zip(times, times[1:]))
        yield Line("READ", f"{name}, worst t(2n) / t(n), 64 KiB to 16 MiB", [worst], unit="ratio", bar=Bar(DOUBLE_MOST))
        yield Line("READ", f"{name}, 16 MiB, CPU", [times[-1]])
    for shape, text in broken().items():
        home.write("broken.kdl", text)
        for terminal in (False, True):
            told = alternate({"told": lambda: tell(home, terminal)}, count)["told"]["cpu"]
            where = "drawn" if terminal else "plain"
            yield Line("READ", f"{PROBLEMS} problems, {shape}, {where}, CPU", told, bar=Bar(PROBLEMS_MOST_S))
    home.remove()


def sandboxes(name, count):
    """Yields the text of a file with so many sandboxes, one after the other."""
    _, head, one = FORMATS[name]
    yield head
    for n in range(count):
        yield one.format(n=n, below=max(n - 1, 0))


def sized(name, size):
    """Yields as many whole sandboxes as `size` bytes hold."""
    return sandboxes(name, size // len(FORMATS[name][2].format(n=0, below=0)))


def broken():
    """Returns files of a mebibyte with a hundred problems: on many lines, and on one."""
    unknown = [f"unknown{n} {n}" for n in range(PROBLEMS)]
    line = "// " + "é" * 50 + "\n"
    apart = "".join(f"{word}\n{line * 95}" for word in unknown)
    return {"1 MiB": apart, "one line of 1 MiB": "/* " + "é" * 510_000 + " */ " + ";".join(unknown)}


def tell(home, terminal):
    done = home.msb("validate", "broken.kdl", expect=65, terminal=terminal)
    return {"cpu": done.cpu_s}
