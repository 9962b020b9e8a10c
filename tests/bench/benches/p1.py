"""P1: a machine for one command, image in the cache, no template.

`true` says nothing, so its talkative twin runs: `echo`. T3 ends at its first byte, and so does
the processor time that the bar is about; what the end of the machine costs is printed beside it.
"""

import glob
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
    yield Line("P1", "CPU of all processes until T3", ours["cpu"])
    yield Line("P1", "CPU outside the VMM until T3", ours["outside"], bar=Bar(OUTSIDE_MOST_S))
    yield Line("P1", "CPU of all processes until T4", ours["cpu_all"])
    yield Line("P1", "Y2: bare boot, CPU", theirs["cpu"])
    yield ratio("P1", "CPU until T3 over Y2", ours["cpu"], theirs["cpu"], OVER_BARE_MOST)
    yield ratio("P1", "CPU until T4 over Y2", ours["cpu_all"], theirs["cpu"])


def one(home):
    records = Records(os.path.join(home.state, "machines"))
    done = home.msb(*COMMAND, until_gone=True, look=records.look)
    if done.out != b"up\n":
        raise RuntimeError(f"the command printed {done.out!r}")
    return {
        "t1": records.since_start("first_byte_at_ms"),
        "t2": records.since_start("agent_ready_at_ms"),
        "t3": done.first_byte_s,
        "t4": done.gone_s,
        "cpu": done.first_byte_cpu_s,
        "outside": done.first_byte_cpu_s - done.first_byte_vmm_s,
        "cpu_all": done.cpu_s,
    }


class Records:
    """The record of the one machine that runs; it goes away with the machine."""

    def __init__(self, folder):
        self.folder, self.last = folder, {}

    def look(self):
        """Reads the record, until it says that the agent is up."""
        if self.last.get("agent_ready_at_ms"):
            return
        for path in glob.glob(os.path.join(self.folder, "*", "record")):
            try:
                with open(path, encoding="utf-8") as file:
                    self.last = json.load(file)
            except OSError:
                continue

    def since_start(self, mark):
        """Returns the seconds from the start of the VMM to a mark of the record."""
        started, marked = self.last.get("started_at_ms"), self.last.get(mark)
        return (marked - started) / 1e3 if started and marked else float("nan")
