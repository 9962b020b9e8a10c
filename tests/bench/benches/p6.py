"""P6: one more command in a machine that runs."""

from harness.report import Bar, Line
from harness.sample import alternate

from .p5 import write_project

ALL_MOST_S = 0.060
OUTSIDE_MOST_S = 0.012


def measure(workshop, count):
    home = workshop.home()
    write_project(home, names=("one",))
    try:
        home.msb("up", "--yes")
        taken = alternate({"exec": lambda: one(home)}, count)["exec"]
    finally:
        home.msb("down", "--yes", until_gone=True)
        home.remove()
    yield Line("P6", "exec true, CPU of all processes", taken["cpu"], bar=Bar(ALL_MOST_S))
    yield Line("P6", "exec true, CPU outside the VMM", taken["outside"], bar=Bar(OUTSIDE_MOST_S))
    yield Line("P6", "exec true, wall", taken["wall"])


def one(home):
    done = home.msb("exec", "one", "--", "true")
    return {"cpu": done.cpu_s, "outside": done.cpu_s - done.vmm_s, "wall": done.ended_s}
