"""S23: what hostile Sandboxfiles cost, each through `msb validate`."""

import os

from harness.report import Bar, Line
from harness.sample import alternate

CPU_MOST_S = 0.200
PEAK_MOST_MIB = 64
# Each costs its milliseconds alike every time: the worst of few tells.
SAMPLES = 5


def measure(workshop, count):
    home = workshop.home()
    done = workshop.meter.run([workshop.tool("bench-reader"), "hostile", home.project])
    if done.status != 0:
        raise RuntimeError(f"the files were not written: {done.err.decode(errors='replace').strip()}")
    cpu, peak = [], []
    for name in sorted(os.listdir(home.project)):
        taken = alternate({"told": lambda: told(home, name)}, min(count, SAMPLES), warm_ups=1)["told"]
        cpu.append(Line("S23", f"{name}, CPU", taken["cpu"], bar=Bar(CPU_MOST_S)))
        peak.append(Line("S23", f"{name}, peak", taken["peak"], unit="MiB", bar=Bar(PEAK_MOST_MIB)))
    home.remove()
    yield Line("S23", "hostile files", [len(cpu)], unit="count")
    for lines in (cpu, peak):
        yield from worst(lines)


def worst(lines):
    """Returns what misses its bar, or else the one that comes nearest to it."""
    return [line for line in lines if line.value() > line.bar.most] or [max(lines, key=Line.value)]


def told(home, name):
    done = home.msb("validate", name, expect=65)
    return {"cpu": done.cpu_s, "peak": done.peak_mib}
