"""P1: a machine for one command, image in the cache, no template.

`true` says nothing, so its talkative twin runs: `echo`. T3 ends at its first byte.
"""

import json
import os

from harness.bare import BareBoot
from harness.report import Bar, Line, ratio
from harness.sample import alternate

COMMAND = ("run", "--rm", "builtin:base", "--", "echo", "up")
OVER_BARE_MOST = 1.6
OUTSIDE_MOST_S = 0.10


def measure(workshop, count):
    home = workshop.home()
    home.msb(*COMMAND, until_gone=True)
    seen = home.msb(*COMMAND, until_gone=True, capture_vmm=True)
    bare = BareBoot(workshop, seen)
    taken = alternate({"msb": lambda: one(home), "bare": bare.run}, count)
    ours, theirs = taken["msb"], taken["bare"]
    home.remove()
    yield Line("P1", "T1: VMM to guest process 1, wall", ours["t1"])
    yield Line("P1", "T2: VMM to Ready, wall", ours["t2"])
    yield Line("P1", "T3: msb to first output, wall", ours["t3"])
    yield Line("P1", "T4: msb to nothing left, wall", ours["t4"])
    yield Line("P1", "Y2: bare boot, wall", theirs["wall"])
    yield Line("P1", "CPU of all processes", ours["cpu"])
    yield Line("P1", "CPU outside the VMM", ours["outside"], bar=Bar(OUTSIDE_MOST_S))
    yield Line("P1", "Y2: bare boot, CPU", theirs["cpu"])
    yield ratio("P1", "CPU over Y2", ours["cpu"], theirs["cpu"], OVER_BARE_MOST)


def one(home):
    known = machines(home)
    done = home.msb(*COMMAND, until_gone=True)
    if done.out != b"up\n":
        raise RuntimeError(f"the command printed {done.out!r}")
    times = boot_times(home, known)
    return {
        "t3": done.first_byte_s,
        "t4": done.gone_s,
        "cpu": done.cpu_s,
        "outside": done.cpu_s - done.vmm_s,
        **times,
    }


def machines(home):
    folder = os.path.join(home.state, "machines")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {name for name in names if name != "names"}


def boot_times(home, known):
    """Returns T1 and T2 from the record that the ended machine left."""
    unknown = {"t1": float("nan"), "t2": float("nan")}
    for name in machines(home) - known:
        try:
            with open(os.path.join(home.state, "machines", name, "record"), encoding="utf-8") as file:
                record = json.load(file)
        except OSError:
            continue
        started = record.get("started_at_ms")
        marks = {"t1": record.get("first_byte_at_ms"), "t2": record.get("agent_ready_at_ms")}
        return {
            name: (mark - started) / 1e3 if mark and started else float("nan")
            for name, mark in marks.items()
        }
    return unknown
