"""NET: a guest and its host, and two guests, beside QEMU's own user network.

Bytes both ways, a byte's round trip, and bytes from a guest to another. All machines have the same kernel,
processor, memory and device, and in all runs the same program; it does what a server here tells it. The one
pair is ours, the other is the bare boot with `-netdev user`, where the host's loopback lies between them.
"""

import os
import shutil
import socket
import subprocess
import time
from types import SimpleNamespace

from harness.bare import initramfs, stand_alone
from harness.meter import capture, descendants, is_vmm
from harness.report import Bar, Line, ratio
from harness.sample import alternate

OUT_MIB, IN_MIB, BETWEEN_MIB = 128, 128, 128
TURNS = 1000
BLOCK = bytes(256 << 10)
# What is waited for at most, for one sample and for a boot.
DEADLINE_S = 120
SAMPLES, SAMPLES_SMOKE = 5, 3
OURS, THEIRS = "198.18.0.1", ("10.0.2.15", "10.0.2.2")
# What a machine calls the first of its siblings that it looks up, and where that one waits for calls.
SIBLING, WAITS = "198.19.0.1", 7000
PROJECT = """project "bench"
sandbox "box" {
    image "builtin:base"
    memory "512MiB"
    command "sleep" "1000000"
    stop-grace "1s"
    mount "/tools" { dir "./tools"; options "ro" }
    network { preset "none"; rules { allow "host" } }
    connect "other" ports="7000"
}
sandbox "other" {
    image "builtin:base"
    memory "512MiB"
    command "/tools/net" "7000"
    stop-grace "1s"
    mount "/tools" { dir "./tools"; options "ro" }
    network { preset "none" }
}
"""


def measure(workshop, count):
    home = workshop.home()
    home.write("Sandboxfile", PROJECT)
    tools = os.path.join(home.project, "tools")
    os.mkdir(tools)
    program = os.path.join(workshop.scratch, "net")
    source = os.path.join(workshop.checkout, "tests/bench/net.c")
    subprocess.run(["gcc", "-static", "-O2", "-o", program, source], check=True)
    shutil.copy(program, tools)
    ends = []
    try:
        home.msb("up", "--yes")
        vmm = next(pid for pid in descendants() if is_vmm(pid))
        other = Other(workshop, vmm, program)
        ends = [other, ours(workshop, home), theirs(workshop, vmm, program, other.port)]
        jobs = {
            (end.name, way): (lambda end=end, way=way: end.sample(workshop.meter, way))
            for way in WAYS
            for end in ends[1:]
        }
        samples = SAMPLES if count > SAMPLES_SMOKE else 1
        taken = alternate(jobs, min(samples, count), warm_ups=1)
    finally:
        for end in ends:
            end.close()
        home.msb("down", "--yes", until_gone=True)
        home.remove()
    for way, (what, size) in WAYS.items():
        one, other = taken[("msb", way)], taken[("slirp", way)]
        if way == "p":
            for name, sample in (("msb", one), ("slirp", other)):
                yield Line("NET", f"{what}, {name}", [took / size for took in sample["wall"]])
            yield ratio("NET", f"{what}, over slirp's", one["wall"], other["wall"])
            continue
        for name, sample in (("msb", one), ("slirp", other)):
            yield Line("NET", f"{what}, {name}, in a second", [size / took for took in sample["wall"]], unit="MiB")
        yield ratio("NET", f"{size} MiB {what}, wall over slirp's", one["wall"], other["wall"], 1.0)
        yield ratio("NET", f"{size} MiB {what}, CPU over slirp's", one["cpu"], other["cpu"])
        yield Line("NET", f"{size} MiB {what}, CPU of all", one["cpu"], unit="s")


WAYS = {
    "s": ("out of the guest", OUT_MIB),
    "r": ("into the guest", IN_MIB),
    "g": ("from guest to guest", BETWEEN_MIB),
    "p": ("a byte there and back", TURNS),
}


class End:
    """A server of the host, and a guest that calls it."""

    def __init__(self, name, start):
        self.name = name
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE_S)
        self.child = start(self.listener.getsockname()[1])

    def call(self, order, count):
        """Takes the guest's next call, and tells it what to do."""
        stream, _ = self.listener.accept()
        stream.settimeout(DEADLINE_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(f"{order}{count:08}".encode())
        return stream

    def sample(self, meter, way):
        size = WAYS[way][1]
        with self.call(way, size if way == "p" else size << 10) as stream:
            cpu, began = meter.total_ns(), time.monotonic()
            {"s": take, "r": give, "g": wait, "p": play}[way](stream, size)
            wall = time.monotonic() - began
            return {"wall": wall, "cpu": (meter.total_ns() - cpu) / 1e9}

    def close(self):
        try:
            self.call("q", 0).close()
        except OSError:
            self.child.kill()
        # The meter waits for everything below it.
        self.child.returncode = 0
        self.listener.close()


def take(stream, size):
    room, left = bytearray(1 << 20), size << 20
    while left > 0:
        count = stream.recv_into(room)
        if count == 0:
            raise RuntimeError(f"the guest ended {left} bytes early")
        left -= count


def give(stream, size):
    left = size << 20
    while left > 0:
        left -= stream.send(BLOCK)
    wait(stream, size)


def wait(stream, size):
    if stream.recv(1) != b"d":
        raise RuntimeError(f"nobody said that all {size} MiB are there")


def play(stream, turns):
    for _ in range(turns):
        stream.send(b"x")
        if stream.recv(1) != b"x":
            raise RuntimeError("the guest did not send the byte back")


def ours(workshop, home):
    # From now on it has that address.
    home.msb("exec", "box", "--", "nslookup", "other")

    def start(port):
        call = ["/tools/net", OURS, str(port), SIBLING, str(WAITS)]
        os.chdir(home.project)
        words = [workshop.program("msb"), "exec", "box", "--", *call]
        return subprocess.Popen(words, env=home.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    return End("msb", start)


def theirs(workshop, vmm, program, other):
    address, host = THEIRS

    def start(port):
        told = f"{address},{host},{port},{host},{other}"
        return bare(workshop, vmm, program, "user,id=net", told)

    return End("slirp", start)


class Other:
    """A bare machine that waits for calls, by a port of the host that QEMU leads to it."""

    def __init__(self, workshop, vmm, program):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        address = THEIRS[0]
        network = f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-{address}:{WAITS}"
        self.child = bare(workshop, vmm, program, network, f"{address},{WAITS}")
        deadline = time.monotonic() + DEADLINE_S
        # QEMU takes calls before the guest does.
        while not self.tell("p", 1):
            if time.monotonic() > deadline:
                raise RuntimeError("the other bare machine answers nobody")
            time.sleep(0.1)

    def tell(self, order, count):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as stream:
                stream.sendall(f"{order}{count:08}".encode() + b"x" * count)
                return stream.recv(1) == b"x"
        except OSError:
            return False

    def close(self):
        self.tell("q", 0)
        self.child.returncode = 0


def bare(workshop, vmm, program, network, told):
    """Starts a bare machine whose program is told something."""
    words, files = capture(vmm)
    seen = SimpleNamespace(vmm_arguments=words, vmm_files=files)
    said = words[words.index("-append") + 1]
    stand_ins = {
        "-kernel": os.path.join(workshop.kernel, "vmlinux"),
        "-initrd": initramfs(workshop, program),
        "-netdev": network,
        "-append": f"{said} net={told}",
    }
    command = stand_alone(workshop, seen, stand_ins)
    with open(os.path.join(workshop.scratch, "slirp.log"), "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
