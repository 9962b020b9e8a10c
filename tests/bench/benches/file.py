"""FILE: from bytes to the project that they mean, through `msb validate`; nothing else is looked at.

"Again" is what a `diff` before read and kept.
"""

from harness import fleet
from harness.report import Bar, Line
from harness.sample import alternate

# How many sandboxes, and what reading them may cost: for the first time, and again.
SIZES = {1000: (0.050, 0.008), 10000: (0.450, 0.060)}
SAMPLES, SAMPLES_SMOKE = 10, 3


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    sizes = {size: bars for size, bars in SIZES.items() if size <= 1000 or count > SAMPLES_SMOKE}
    for size, (cold, warm) in sizes.items():
        home = workshop.home()
        if size > 1000:
            fleet.allow_many(home)
        try:
            # Readings are kept only where a state is.
            home.msb("volume", "create", "any", "--kind", "disk", "--size", "64MiB")
            taken = alternate(subjects(home, size), min(count, SAMPLES), warm_ups=1)
        finally:
            home.remove()
        for name, figures in taken.items():
            bar = None if "YAML" in name else Bar(warm if "again" in name else cold)
            yield Line("FILE", f"validate {name}, {size} sandboxes, CPU", figures["cpu"], bar=bar)
            yield Line("FILE", f"validate {name}, {size} sandboxes, peak", figures["peak"], unit="MiB")


def subjects(home, size):
    turn = iter(range(1 << 30))

    def anew(form, name):
        """The file reads as before and is another one."""
        home.write(name, form(size, fleet.JOB, note=next(turn)))
        return told(home, name)

    return {
        "KDL": lambda: anew(fleet.kdl, "Sandboxfile"),
        "KDL again": lambda: again(home, "Sandboxfile"),
        "YAML": lambda: anew(fleet.yaml, "Sandboxfile.yaml"),
    }


def again(home, name):
    home.msb("diff", "-f", name, "--exit-zero")
    return told(home, name)


def told(home, name):
    done = home.msb("validate", name)
    return {"cpu": done.cpu_s, "peak": done.peak_mib}
