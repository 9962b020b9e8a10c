"""P5, small: commands that find nothing to do, three sandboxes at rest."""

from harness.report import Bar, Line
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


def write_project(home, names=NAMES):
    home.write("Sandboxfile", 'project "bench"\n' + "".join(SANDBOX.format(name=name) for name in names))


def measure(workshop, count):
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


def cpu(done):
    # Idle guests tick on while msb runs; that is P12's figure, not this one's.
    return {"cpu": done.cpu_s - done.vmm_s, "wall": done.ended_s}
