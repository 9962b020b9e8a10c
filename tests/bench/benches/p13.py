"""P13: commands that have nothing to look at."""

import os

from harness.report import Bar, Line, ratio
from harness.sample import alternate

OVER_TRUE_MOST = 10
PS_MOST_S = 0.015


def measure(workshop, count):
    home = workshop.home()
    before = files(home)
    subjects = {
        "true": lambda: figures(workshop.meter.run(["/bin/true"])),
        "version": lambda: figures(home.msb("--version")),
        "ps": lambda: figures(home.msb("ps")),
    }
    taken = alternate(subjects, count)
    made = files(home) - before
    home.remove()
    yield Line("P13", "Y1: /bin/true, CPU", taken["true"]["cpu"])
    yield Line("P13", "msb --version, CPU", taken["version"]["cpu"])
    yield ratio("P13", "msb --version over Y1, CPU", taken["version"]["cpu"], taken["true"]["cpu"], OVER_TRUE_MOST)
    yield Line("P13", "msb ps, empty home, CPU", taken["ps"]["cpu"], bar=Bar(PS_MOST_S))
    yield Line("P13", "files made by msb ps", [len(made)], unit="count", bar=Bar(0))


def figures(done):
    return {"cpu": done.cpu_s, "wall": done.ended_s}


def files(home):
    return {os.path.join(folder, name) for folder, _, names in os.walk(home.path) for name in names}
