"""P5c: `diff` of one sandbox with very many replicas, none of which is there."""

from harness import fleet
from harness.report import Bar, Line
from harness.sample import alternate

SIZE, SIZE_SMOKE = 100_000, 1_000
CPU_MOST_S, PEAK_MOST_MIB = 3, 600
SAMPLES, SAMPLES_SMOKE = 5, 3
CHANGES = 2


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    size = SIZE if count > SAMPLES_SMOKE else SIZE_SMOKE
    home = workshop.home(driver="process")
    fleet.allow_many(home)
    home.write("Sandboxfile", fleet.replicas(size))
    try:
        taken = alternate({"diff": lambda: one(home)}, min(count, SAMPLES), warm_ups=1)["diff"]
    finally:
        home.remove()
    yield Line("P5C", f"diff, {size} replicas, CPU", taken["cpu"], bar=Bar(CPU_MOST_S))
    yield Line("P5C", f"diff, {size} replicas, peak", taken["peak"], unit="MiB", bar=Bar(PEAK_MOST_MIB))


def one(home):
    done = home.msb("diff", expect=CHANGES)
    return {"cpu": done.cpu_s, "peak": done.peak_mib}
