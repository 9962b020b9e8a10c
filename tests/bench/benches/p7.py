"""P7: the same bytes as one file and as many, into a guest and out of it, beside `msb exec … cat` (Y5).

Before each copy the guest writes out what it holds and forgets it, then reads what is to be copied
out of it, unless the copy is a cold one: none pays for the one before. Each copy goes to a new name,
for a file system that has just forgotten thousands of files is slow to make new ones.
"""

import os

from harness.report import Bar, Line, ratio
from harness.sample import alternate

FILE_MIB = 256
FILES = 10000
FOLDERS = 100
# At least 0.8 of the rate of Y5.
MOST_OVER_CAT = 1.25
MANY_MOST = 2
# 50 MB a second each way, emulated or not.
MOST_S = FILE_MIB * 1.048576 / 50
# Nothing is held whole: windows and pipes, and msb itself.
PEAK_MOST_MIB = 48
SAMPLES, SAMPLES_SMOKE = 3, 3
PROJECT = """project "bench"
sandbox "box" {
    image "builtin:base"
    memory "1GiB"
    upper "8GiB"
    command "sleep" "1000000"
    stop-grace "1s"
}
"""


def measure(workshop, count):
    home = workshop.home()
    home.write("Sandboxfile", PROJECT)
    make_sources(home.project)
    try:
        home.msb("up", "--yes")
        for name in ("large", "many"):
            home.msb("cp", name, f"box:/tmp/{name}")
        samples = SAMPLES if count > SAMPLES_SMOKE else 1
        taken = alternate(subjects(workshop, home), samples, warm_ups=1)
    finally:
        home.msb("down", "--yes", until_gone=True)
        home.remove()
    for way in ("in", "out"):
        yield from lines(way, taken[way], taken[f"cat {way}"], taken[f"many {way}"])
    cold, cold_many = taken["cold out"]["cpu"], taken["cold many out"]["cpu"]
    yield ratio("P7", f"{FILES} files out, cold, CPU over one file's", cold_many, cold)
    for name in ("in", "out", "many in", "many out", "between"):
        yield Line("P7", f"{name}, peak of msb", taken[name]["peak"], unit="MiB", bar=Bar(PEAK_MOST_MIB))


def lines(way, one, cat, many):
    wall = one["wall"]
    yield Line("P7", f"{FILE_MIB} MiB {way}, wall", wall, unit="s", bar=Bar(MOST_S, wall=True))
    yield Line("P7", f"{FILE_MIB} MiB {way}, in a second", [FILE_MIB / took for took in wall], unit="MiB")
    yield Line("P7", f"{FILE_MIB} MiB {way} by cat, in a second", [FILE_MIB / took for took in cat["wall"]], unit="MiB")
    yield ratio("P7", f"{FILE_MIB} MiB {way}, wall over cat's", wall, cat["wall"], MOST_OVER_CAT)
    yield Line("P7", f"{FILE_MIB} MiB {way}, CPU of all processes", one["cpu"], unit="s")
    yield Line("P7", f"{FILES} files {way}, CPU of all processes", many["cpu"], unit="s")
    yield ratio("P7", f"{FILES} files {way}, CPU over one file's", many["cpu"], one["cpu"], MANY_MOST)


def make_sources(project):
    """Makes one large file, and as many bytes in many files."""
    size = FILE_MIB << 20
    with open(os.path.join(project, "large"), "wb") as file:
        for _ in range(FILE_MIB):
            file.write(os.urandom(1 << 20))
    for number in range(FILES):
        folder = os.path.join(project, "many", str(number % FOLDERS))
        os.makedirs(folder, exist_ok=True)
        # The sizes differ by one byte where they must, so that the sum is the same.
        end, start = size * (number + 1) // FILES, size * number // FILES
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(os.urandom(end - start))


def subjects(workshop, home):
    turn = iter(range(1 << 30))

    def job(copy, source=""):
        """Runs a copy to a new name, after the guest has read `source` and nothing else."""

        def run():
            guest(home, f"sync; echo 3 >/proc/sys/vm/drop_caches; cat {source} /dev/null >/dev/null")
            done = copy(f"to{next(turn)}")
            return {"cpu": done.cpu_s, "wall": done.ended_s, "peak": done.peak_mib}

        return run

    def cat_out(to):
        script = 'exec "$0" exec box -- cat /tmp/large >"$1"'
        return workshop.meter.run(["sh", "-c", script, workshop.program("msb"), to], env=home.env())

    def cat_in(to):
        with open(os.path.join(home.project, "large"), "rb") as file:
            return home.msb("exec", "box", "--", "sh", "-c", f"cat >/tmp/{to}", stdin=file)

    def cp_in(name):
        return job(lambda to: home.msb("cp", name, f"box:/tmp/{to}"))

    def cp_out(name, source=""):
        return job(lambda to: home.msb("cp", f"box:/tmp/{name}", to), source)

    return {
        "in": cp_in("large"),
        "cat in": job(cat_in),
        "many in": cp_in("many"),
        "out": cp_out("large", "/tmp/large"),
        "cat out": job(cat_out, "/tmp/large"),
        "many out": cp_out("many", "/tmp/many/*/*"),
        "cold out": cp_out("large"),
        "cold many out": cp_out("many"),
        "between": job(lambda to: home.msb("cp", "box:/tmp/large", f"box:/tmp/{to}"), "/tmp/large"),
    }


def guest(home, script):
    home.msb("exec", "box", "--", "sh", "-c", script)

