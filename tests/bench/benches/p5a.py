"""P5a: as P5, with every machine alive under the driver `process`; what is looked at is counted."""

import os
import re

from harness import fleet
from harness.report import Bar, Line
from harness.sample import alternate

SIZE, SIZE_SMALL = 1000, 100
CPU_MOST_S = 0.060
PROC_BEYOND = 20
SAMPLES = 10
# A machine of this driver is a runtime and an agent.
KIB_EACH = 20 * 1024


def measure(workshop, count):
    size = min(SIZE, available_kib() // KIB_EACH)
    statements = {}
    for machines in (SIZE_SMALL, size):
        home = workshop.home(driver="process")
        home.write("Sandboxfile", fleet.kdl(machines, fleet.SERVICE))
        try:
            home.msb("up", deadline_s=900)
            for command in ("diff", "up", "ps"):
                looks, shm = traced(workshop, home, command)
                statements[command, machines] = shm
                if machines == size:
                    bar = Bar(machines + PROC_BEYOND)
                    yield Line("P5A", f"{command}, looks into /proc, {machines} alive", [looks], unit="count", bar=bar)
            if machines == size:
                taken = alternate(subjects(home), min(count, SAMPLES))
        finally:
            home.msb("down", "--yes", until_gone=True, deadline_s=900)
            home.remove()
    for name, figures in taken.items():
        yield Line("P5A", f"{name}, {size} alive, CPU", figures["cpu"], bar=Bar(CPU_MOST_S))
    for command in ("diff", "ps"):
        more = statements[command, size] - statements[command, SIZE_SMALL]
        yield Line("P5A", f"{command}, reads of the database, {size} less {SIZE_SMALL}", [more], unit="count", bar=Bar(0))


def subjects(home):
    # The machines tick on by themselves; only the command's own processor time counts.
    return {name: (lambda name=name: {"cpu": own(home.msb(name))}) for name in ("diff", "up", "ps")}


def own(done):
    return done.own_cpu_s


def traced(workshop, home, command):
    """Returns how often a command looked into `/proc`, and how many reads of the database it began.

    Each read takes the shared lock that SQLite's log keeps for readers once.
    """
    trace = os.path.join(home.path, "trace")
    words = ["strace", "-f", "-qq", "-e", "trace=openat,fcntl", "-o", trace, workshop.program("msb"), command]
    os.chdir(home.project)
    done = workshop.meter.run(words, env=home.env())
    if done.status != 0:
        raise RuntimeError(f"msb {command} ended with {done.status}")
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = file.read()
    looks = len(re.findall(r'openat\([^"]*"/proc/', lines))
    return looks, len(re.findall(r"F_SETLK, \{l_type=F_RDLCK", lines))


def available_kib():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
