"""P8: a published port, called from another network that is 20 ms away, beside `socat` on the same way (Y4).

Behind socat is the same server as in the guest, as a process of the host. The peer takes or sends at most
10 MB a second; then as fast as it goes.
"""

import os
import shutil
import subprocess
import time

from harness.report import Bar, Line, ratio
from harness.sample import alternate

DELAY_MS = 20
MIB, MIB_SMOKE, RATE = 256, 32, 10_000_000
SAMPLES = 3
# Ours must have 0.9 of socat's rate, and may be this long without a byte.
WALL_MOST, STALL_MOST_S = 1 / 0.9, 0.2
PUBLISHED, SOCAT, BEHIND = 7000, 7100, 7101
SOON_S = 20
PROJECT = f"""project "bench"
sandbox "box" {{
    image "builtin:base"
    memory "256MiB"
    command "/tools/published" "{PUBLISHED}"
    stop-grace "1s"
    mount "/tools" {{ dir "./tools"; options "ro" }}
    port guest={PUBLISHED} host={PUBLISHED} bind="0.0.0.0"
}}
"""
WAYS = {"take": "out of the guest", "give": "into the guest"}


def measure(workshop, count):
    size = (MIB if count > SAMPLES else MIB_SMOKE) << 20
    home = workshop.home()
    home.write("Sandboxfile", PROJECT)
    server = os.path.join(workshop.scratch, "published")
    source = os.path.join(workshop.checkout, "tests/vm/published/guest.c")
    subprocess.run(["gcc", "-static", "-O2", "-o", server, source], check=True)
    os.mkdir(os.path.join(home.project, "tools"))
    shutil.copy(server, os.path.join(home.project, "tools"))
    far = Far(workshop)
    try:
        far.begin(server, str(BEHIND))
        far.begin("socat", f"TCP-LISTEN:{SOCAT},fork,reuseaddr", f"TCP:127.0.0.1:{BEHIND}")
        home.msb("up", "--yes", through=far.through)
        for port in (SOCAT, PUBLISHED):
            far.until_there(port)
        yield from held(workshop, far, size, min(count, SAMPLES))
        yield from free(workshop, far, size, min(count, SAMPLES))
    finally:
        far.close()
        home.msb("down", "--yes", until_gone=True)
        home.remove()


def held(workshop, far, size, count):
    taken = both(workshop, far, (size, RATE), count)
    for way, what in WAYS.items():
        one, other = taken[("msb", way)], taken[("socat", way)]
        for name, sample in (("msb", one), ("socat", other)):
            yield rate(f"{what}, held, {name}", size, sample)
        yield ratio("P8", f"{size >> 20} MiB {what}, held, wall over socat's", one["wall"], other["wall"], WALL_MOST)
        yield Line("P8", f"{what}, held, longest without a byte", [max(one["stall"])], bar=Bar(STALL_MOST_S))
        yield Line("P8", f"{what}, held, the same, socat", [max(other["stall"])])
        yield Line("P8", f"{what}, held, CPU of all, msb", one["cpu"], unit="s")
        yield Line("P8", f"{what}, held, CPU of all, socat", other["cpu"], unit="s")


def free(workshop, far, size, count):
    taken = both(workshop, far, (size, 0), count)
    for (name, way), sample in taken.items():
        yield rate(f"{WAYS[way]}, not held, {name}", size, sample)


def rate(figure, size, sample):
    return Line("P8", f"{figure}, in a second", [(size >> 20) / took for took in sample["wall"]], unit="MiB")


def both(workshop, far, amount, count):
    jobs = {
        (name, way): lambda way=way, port=port: far.move(workshop.meter, way, port, amount)
        for way in WAYS
        for name, port in (("msb", PUBLISHED), ("socat", SOCAT))
    }
    return alternate(jobs, count, warm_ups=0)


class Far:
    """A network that is far away, and a near one where things are started."""

    def __init__(self, workshop):
        words = [workshop.tool("bench-far"), str(DELAY_MS)]
        self.peer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.children = [self.peer]
        self.through = ["nsenter", self.hear()]

    def begin(self, *words):
        self.children.append(subprocess.Popen([*self.through, *words], stdin=subprocess.DEVNULL))

    def hear(self):
        line = self.peer.stdout.readline().strip()
        if not line:
            raise RuntimeError("the peer has ended")
        return line

    def until_there(self, port):
        """Waits until somebody there takes a call and something answers it."""
        there = [*self.through, "socat", "-t", "5", "-", f"TCP:127.0.0.1:{port}"]
        deadline = time.monotonic() + SOON_S
        while subprocess.run(there, input=b"ex", capture_output=True, check=False).stdout != b"x":
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing answers at port {port}")
            time.sleep(0.1)

    def move(self, meter, way, port, amount):
        size, most = amount
        cpu = meter.total_ns()
        self.peer.stdin.write(f"{way} {port} {size} {most}\n")
        self.peer.stdin.flush()
        took, stalled = map(float, self.hear().split())
        return {"wall": took, "stall": stalled, "cpu": (meter.total_ns() - cpu) / 1e9}

    def close(self):
        for child in reversed(self.children):
            child.kill()
            # The meter waits for everything below it.
            child.returncode = 0
        self.peer.stdin.close()
        self.peer.stdout.close()
