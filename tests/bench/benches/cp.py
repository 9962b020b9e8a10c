"""CP: one large file into a guest, out of it and back through msb, beside a plain copy on the host."""

import os

from harness.report import Bar, Line, ratio
from harness.sample import alternate

FILE_MIB = 256
# 50 MB a second each way, emulated or not.
MOST_S = FILE_MIB * 1.048576 / 50
# Nothing is held whole: windows and pipes, and msb itself.
PEAK_MOST_MIB = 48
SAMPLES, SAMPLES_SMOKE = 5, 3
PROJECT = """project "bench"
sandbox "box" {
    image "builtin:base"
    memory "256MiB"
    upper "2GiB"
    command "sleep" "1000000"
    stop-grace "1s"
}
"""


def measure(workshop, count):
    home = workshop.home()
    home.write("Sandboxfile", PROJECT)
    large = os.path.join(home.project, "large")
    with open(large, "wb") as file:
        for _ in range(FILE_MIB):
            file.write(os.urandom(1 << 20))
    try:
        home.msb("up", "--yes")
        subjects = {
            "in": lambda: one(home.msb("cp", "large", "box:/tmp/large")),
            "out": lambda: one(home.msb("cp", "box:/tmp/large", "back")),
            "between": lambda: one(home.msb("cp", "box:/tmp/large", "box:/tmp/other")),
            "host": lambda: one(workshop.meter.run(["cp", large, large + ".copy"])),
        }
        samples = SAMPLES if count > SAMPLES_SMOKE else 1
        taken = alternate(subjects, samples, warm_ups=1)
    finally:
        home.msb("down", "--yes", until_gone=True)
        home.remove()
    for way in ("in", "out"):
        wall = taken[way]["wall"]
        yield Line("CP", f"{FILE_MIB} MiB {way}, wall", wall, unit="s", bar=Bar(MOST_S, wall=True))
        yield Line("CP", f"{FILE_MIB} MiB {way}, in a second", [FILE_MIB / took for took in wall], unit="MiB")
        yield Line("CP", f"{FILE_MIB} MiB {way}, CPU of all processes", taken[way]["cpu"], unit="s")
        yield ratio("CP", f"wall {way} over cp on the host", wall, taken["host"]["wall"])
    for way in ("in", "out", "between"):
        yield Line("CP", f"{FILE_MIB} MiB {way}, peak of msb", taken[way]["peak"], unit="MiB", bar=Bar(PEAK_MOST_MIB))


def one(done):
    return {"cpu": done.cpu_s, "wall": done.ended_s, "peak": done.peak_mib}
