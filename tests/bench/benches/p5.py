"""P5: commands that find nothing to do: three machines that run, and many sandboxes at rest."""

import os

from harness import fleet
from harness.report import Bar, Line, ratio
from harness.sample import alternate

NO_OP_MOST_S = 0.025
SANDBOX = """
sandbox "{name}" {{
    image "builtin:base"
    memory "64MiB"
    command "sleep" "1000000"
    stop-grace "1s"
}}
"""
NAMES = ("one", "two", "three")

# How many sandboxes, and what `diff` and `up` of them may cost: cold, warm, memory.
FLEETS = {
    1: (0.015, 0.015, None),
    100: (None, None, None),
    1000: (0.100, 0.040, 60),
    10000: (0.800, 0.250, 200),
}
GROWTH_MOST = 12
# Large projects cost their milliseconds alike every time.
SAMPLES_LARGE = 10
MAKE_DEADLINE_S = 1800


def write_project(home, names=NAMES):
    home.write("Sandboxfile", 'project "bench"\n' + "".join(SANDBOX.format(name=name) for name in names))


def measure(workshop, count):
    yield from running(workshop, count)
    yield from at_rest(workshop, count)


def running(workshop, count):
    home = workshop.home()
    write_project(home)
    try:
        home.msb("up", "--yes")
        subjects = {
            "up": lambda: cpu(home.msb("up", "--yes")),
            "diff": lambda: cpu(home.msb("diff")),
            "ps": lambda: cpu(home.msb("ps")),
        }
        taken = alternate(subjects, count)
    finally:
        home.msb("down", "--yes", until_gone=True)
        home.remove()
    yield Line("P5", "no-op up, 3 sandboxes, CPU", taken["up"]["cpu"], bar=Bar(NO_OP_MOST_S))
    yield Line("P5", "no-op up, 3 sandboxes, wall", taken["up"]["wall"])
    yield Line("P5", "diff, 3 sandboxes, CPU", taken["diff"]["cpu"])
    yield Line("P5", "ps, 3 sandboxes, CPU", taken["ps"]["cpu"])


def at_rest(workshop, count):
    """Jobs that have completed: nothing of them lives, and nothing is to do."""
    medians = {}
    for size, (cold, warm, memory) in FLEETS.items():
        home = workshop.home(driver="process")
        fleet.allow_many(home)
        home.write("Sandboxfile", fleet.kdl(size, fleet.JOB))
        try:
            home.msb("up", deadline_s=MAKE_DEADLINE_S)
            home.msb("up")
            samples = min(count, SAMPLES_LARGE) if size > 100 else count
            taken = alternate(subjects(home, size), samples)
        finally:
            os.chdir("/")
            home.remove()
        medians[size] = taken
        for name, figures in taken.items():
            most = warm if "warm" in name else cold
            yield Line("P5", f"{name}, {size} at rest, CPU", figures["cpu"], bar=Bar(most) if most else None)
        peak = [max(peaks) for peaks in zip(*(figures["peak"] for figures in taken.values()))]
        yield Line("P5", f"peak, {size} at rest", peak, unit="MiB", bar=Bar(memory) if memory else None)
    for small, large in ((100, 1000), (1000, 10000)):
        over, under = medians[large]["diff warm"]["cpu"], medians[small]["diff warm"]["cpu"]
        yield ratio("P5", f"diff warm, {large} : {small}", over, under, GROWTH_MOST)


def subjects(home, size):
    turn = iter(range(1 << 30))

    def cold(form, name, *command):
        """The file reads as before and is another one."""
        for other in ("Sandboxfile", "Sandboxfile.yaml"):
            if os.path.exists(os.path.join(home.project, other)):
                os.remove(os.path.join(home.project, other))
        home.write(name, form(size, fleet.JOB, note=next(turn)))
        return cpu(home.msb(*command))

    return {
        "diff cold, KDL": lambda: cold(fleet.kdl, "Sandboxfile", "diff"),
        "diff warm": lambda: cpu(home.msb("diff")),
        "up cold, KDL": lambda: cold(fleet.kdl, "Sandboxfile", "up"),
        "up warm": lambda: cpu(home.msb("up")),
        "diff cold, YAML": lambda: cold(fleet.yaml, "Sandboxfile.yaml", "diff"),
    }


def cpu(done):
    # Idle guests tick on while msb runs; that is P12's figure, not this one's.
    return {"cpu": done.cpu_s - done.vmm_s, "wall": done.ended_s, "peak": done.peak_mib}
