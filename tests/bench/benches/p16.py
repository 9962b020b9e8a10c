"""P16: each kind of mount: one large file written and read, and many small ones looked at."""

import os
import subprocess

from harness.report import Line, ratio
from harness.sample import alternate

FILE_MIB = 128
FILES = 10000
SAMPLES, SAMPLES_SMOKE = 5, 3
# Where each kind is mounted; one file alone has a place of its own.
KINDS = {
    "dir": "/dir",
    "file": "/one/file",
    "named dir": "/named",
    "named disk": "/rows",
    "disk": "/disk",
    "tmpfs": "/memory",
}
PROJECT = """project "bench"
volume "named" { kind "dir"; quota "4GiB" }
volume "rows" { kind "disk"; size "512MiB" }
sandbox "box" {
    image "builtin:base"
    memory "512MiB"
    command "sleep" "1000000"
    stop-grace "1s"
    mount "/dir" { dir "./dir" ensure="ensure" }
    mount "/one/file" { file "./file" ensure="ensure" }
    mount "/named" { named "named" }
    mount "/rows" { named "rows" }
    mount "/disk" { disk "./disk.raw" }
    mount "/memory" { tmpfs "200MiB" }
}
"""


def measure(workshop, count):
    home = workshop.home()
    home.write("Sandboxfile", PROJECT)
    disk = os.path.join(home.project, "disk.raw")
    with open(disk, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run([mke2fs(), "-q", "-F", "-t", "ext4", disk], check=True)
    samples = SAMPLES if count > SAMPLES_SMOKE else 1
    try:
        home.msb("up", "--yes")
        many = os.path.join(home.project, "dir", "many")
        os.mkdir(many)
        for number in range(FILES):
            open(os.path.join(many, str(number)), "wb").close()
        jobs = {(kind, way): job(home, place, way) for kind, place in KINDS.items() for way in ("write", "read")}
        jobs[("host", "write")] = lambda: host(workshop, home.project, "write")
        jobs[("host", "read")] = lambda: host(workshop, home.project, "read")
        jobs[("dir", "stat")] = lambda: one(home.msb("exec", "box", "--", "sh", "-c", f"{COLD}; ls -l /dir/many >/dev/null"))
        jobs[("host", "stat")] = lambda: one(workshop.meter.run(["ls", "-l", many]))
        taken = alternate(jobs, samples, warm_ups=1)
    finally:
        home.msb("down", "--yes", "--volumes", "--yes-delete-data", until_gone=True)
        home.remove()
    for (kind, way), sample in taken.items():
        if kind == "host":
            continue
        wall, beside = sample["wall"], taken[("host", way)]["wall"]
        what = f"{FILES} files" if way == "stat" else f"{FILE_MIB} MiB"
        if way != "stat":
            yield Line("P16", f"{kind}, {way}, in a second", [FILE_MIB / took for took in wall], unit="MiB")
        yield Line("P16", f"{kind}, {way} {what}, CPU of all", sample["cpu"], unit="s")
        yield ratio("P16", f"{kind}, {way} {what}, wall over the host's", wall, beside)


COLD = "sync; echo 3 > /proc/sys/vm/drop_caches"


def job(home, place, way):
    path = place if place.endswith("/file") else f"{place}/large"
    script = {
        "write": f"dd if=/dev/zero of={path} bs=1M count={FILE_MIB} conv=fsync",
        "read": f"{COLD}; dd if={path} of=/dev/null bs=1M",
    }[way]
    return lambda: one(home.msb("exec", "box", "--", "sh", "-c", f"{script} 2>/dev/null"))


def host(workshop, folder, way):
    path = os.path.join(folder, "large")
    words = {
        "write": ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={FILE_MIB}", "conv=fsync"],
        "read": ["dd", f"if={path}", "of=/dev/null", "bs=1M"],
    }[way]
    return one(workshop.meter.run(words))


def mke2fs():
    return next(path for path in ("/usr/sbin/mke2fs", "/sbin/mke2fs") if os.path.exists(path))


def one(done):
    return {"cpu": done.cpu_s, "wall": done.ended_s}
