"""JAIL: what a jail adds to a start: a starter, a process in namespaces of its own, and every layer of it."""

import statistics

from harness.report import Bar, Line
from harness.sample import alternate

MOST_S = 0.010


def measure(workshop, count):
    home = workshop.home()
    # The first begins a starter, that makes a process, and that puts every layer on and ends; the second only begins.
    runtime = workshop.program("msb-runtime")
    subjects = {
        "jail": lambda: figures(workshop.meter.run([runtime, "jail"])),
        "alone": lambda: figures(workshop.meter.run([runtime, "nothing"])),
    }
    taken = alternate(subjects, count)
    home.remove()
    for figure in ("cpu", "wall"):
        alone, jail = statistics.median(taken["alone"][figure]), taken["jail"][figure]
        added = [one - alone for one in jail]
        yield Line("JAIL", f"a jailed process, {figure}", added, bar=Bar(MOST_S, wall=figure == "wall"))


def figures(done):
    return {"cpu": done.cpu_s, "wall": done.ended_s}
