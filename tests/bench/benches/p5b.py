"""P5b: the first `msb up` of many sandboxes under the driver `process`."""

from harness import fleet
from harness.report import Bar, Line, ratio

SIZES, SIZES_SMOKE = (100, 1000), (10, 100)
CPU_MOST_S = 0.040
GROWTH_MOST = 12
SAMPLES, SAMPLES_SMOKE = 3, 3


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    sizes, samples = (SIZES, SAMPLES) if count > SAMPLES_SMOKE else (SIZES_SMOKE, 1)
    taken = {size: [first_up(workshop, size) for _ in range(samples)] for size in sizes}
    for size, values in taken.items():
        each = [value / size for value in values]
        yield Line("P5B", f"first up of {size}, CPU a sandbox", each, bar=Bar(CPU_MOST_S))
    small, large = sizes
    yield ratio("P5B", f"first up, {large} : {small}", taken[large], taken[small], GROWTH_MOST)


def first_up(workshop, size):
    home = workshop.home(driver="process", in_memory=True)
    home.write("Sandboxfile", fleet.kdl(size, fleet.SERVICE))
    try:
        return home.msb("up", deadline_s=900).cpu_s
    finally:
        home.msb("down", "--yes", until_gone=True, deadline_s=900)
        home.remove()
