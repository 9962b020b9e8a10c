"""P5b: the first `msb up` of many sandboxes under the driver `process`."""

from harness import fleet
from harness.report import Bar, Line, ratio

SIZES = (100, 1000)
CPU_MOST_S = 0.040
GROWTH_MOST = 12
SAMPLES = 3


def measure(workshop, count):
    taken = {size: [first_up(workshop, size) for _ in range(min(count, SAMPLES))] for size in SIZES}
    for size, values in taken.items():
        each = [value / size for value in values]
        yield Line("P5B", f"first up of {size}, CPU a sandbox", each, bar=Bar(CPU_MOST_S))
    yield ratio("P5B", f"first up, {SIZES[1]} : {SIZES[0]}", taken[SIZES[1]], taken[SIZES[0]], GROWTH_MOST)


def first_up(workshop, size):
    home = workshop.home(driver="process")
    home.write("Sandboxfile", fleet.kdl(size, fleet.SERVICE))
    try:
        return home.msb("up", deadline_s=900).cpu_s
    finally:
        home.msb("down", "--yes", until_gone=True, deadline_s=900)
        home.remove()
