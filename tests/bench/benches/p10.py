"""P10: `msb-metrics` over 1,000 machines of the driver `process`, its receiver alive and then dead."""

import contextlib
import http.server
import os
import socket
import subprocess
import threading
import time

from harness import fleet
from harness.meter import descendants, used_ns
from harness.report import Bar, Line

SIZE = 1000
SAMPLES_SMOKE = 3
CPU_MOST_S = 0.005
MEMORY_MOST_MIB = 32e6 / (1 << 20)
# What a heap may still move by once a full buffer turns over.
GROWTH_MOST_MIB = 1.0
INTERVAL_S = 10
# With nobody there, the buffer of 60 collections is full when the first ten minutes are over. Each phase
# settles for so long and is then measured for so long.
PHASES_S = {"alive": (60, 120), "dead": (600, 120)}
PHASES_SMOKE_S = {"alive": (20, 40), "dead": (20, 40)}
FIRST_DEADLINE_S = 240
MAKE_DEADLINE_S = 900
# A machine of this driver is a runtime and an agent.
KIB_EACH = 20 * 1024


def measure(workshop, count):
    size = min(SIZE, available_kib() // KIB_EACH)
    home = workshop.home(driver="process")
    home.write("Sandboxfile", fleet.kdl(size, fleet.SERVICE))
    try:
        home.msb("up", deadline_s=MAKE_DEADLINE_S)
        yield from rounds(home, size, PHASES_SMOKE_S if count <= SAMPLES_SMOKE else PHASES_S)
    finally:
        home.msb("down", "--yes", until_gone=True, deadline_s=MAKE_DEADLINE_S)
        home.remove()


def rounds(home, size, phases):
    """Measures one exporter while somebody takes what it sends, and then while nobody does."""
    receiver = Receiver()
    exporter = Exporter(home, receiver.port, INTERVAL_S)
    try:
        exporter.until(lambda: receiver.points() >= size, f"a collection of {size} machines")
        for name, (settle_s, for_s) in phases.items():
            if name == "dead":
                receiver.close()
            time.sleep(settle_s)
            before, sent = exporter.resident_mib(), receiver.points()
            cpu, machines = exporter.over(for_s)
            after = exporter.resident_mib()
            yield Line("P10", f"{size} machines, receiver {name}, CPU a second", [cpu], bar=Bar(CPU_MOST_S))
            yield Line("P10", f"{size} machines, receiver {name}, resident", [after], unit="MiB", bar=Bar(MEMORY_MOST_MIB))
            growth = Bar(GROWTH_MOST_MIB) if phases is PHASES_S else None
            yield Line("P10", f"{size} machines, receiver {name}, growth", [after - before], unit="MiB", bar=growth)
            yield Line("P10", f"{size} machines, their own CPU a second", [machines], unit="s")
            if name == "alive":
                told = (receiver.points() - sent) / (for_s / INTERVAL_S)
                yield Line("P10", "machines told of in a collection", [told], unit="count")
                if told < 0.9 * size:
                    raise RuntimeError(f"{told:.0f} of {size} machines were told of in a collection")
    finally:
        exporter.close()
        receiver.close()


class Exporter:
    """`msb-metrics` as a process that is looked at from outside."""

    def __init__(self, home, port, interval_s):
        self.log = open(os.path.join(home.path, f"exporter-{interval_s}.log"), "wb")
        words = [home.workshop.program("msb-metrics"), "otel", "--endpoint", f"http://127.0.0.1:{port}/v1/metrics"]
        words += ["--protocol", "http", "--collect-interval", f"{interval_s}s", "--flush-interval", f"{INTERVAL_S}s"]
        self.child = subprocess.Popen(words, env=home.env(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def until(self, is_so, what):
        deadline = time.monotonic() + FIRST_DEADLINE_S
        while not is_so():
            if time.monotonic() > deadline or self.child.poll() is not None:
                raise TimeoutError(f"{what} did not come; see {self.log.name}")
            time.sleep(0.2)

    def over(self, for_s):
        """Returns its processor time in a second of so many, and that of all that stands for machines."""
        began, own = time.monotonic(), used_ns(self.child.pid)
        others = [pid for pid in descendants() if pid != self.child.pid]
        used = sum(used_ns(pid) for pid in others)
        time.sleep(for_s)
        own = used_ns(self.child.pid) - own
        passed = time.monotonic() - began
        if self.child.poll() is not None:
            raise RuntimeError(f"the exporter ended with {self.child.returncode}; see {self.log.name}")
        used = sum(used_ns(pid) for pid in others) - used
        return own / 1e9 / passed, used / 1e9 / passed

    def resident_mib(self):
        with open(f"/proc/{self.child.pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def close(self):
        # It is measured, and has nothing to say any more.
        self.child.kill()
        self.child.wait()
        self.log.close()


class Receiver:
    """A receiver of OTLP over HTTP, which takes everything and counts points of `microsandbox.uptime`."""

    def __init__(self):
        self.taken, self.connections = [0], []
        taken, connections = self.taken, self.connections

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                connections.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                taken[0] += uptimes(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def points(self):
        return self.taken[0]

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
            for connection in self.connections:
                # One that the exporter has left is none any more.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def uptimes(body):
    """Returns how many points of `microsandbox.uptime` a request tells: fields within fields."""
    count = 0
    for resource in fields(body, 1):
        for scope in fields(resource, 2):
            for metric in fields(scope, 2):
                if next(fields(metric, 1), b"") == b"microsandbox.uptime":
                    count += sum(1 for gauge in fields(metric, 5) for _ in fields(gauge, 1))
    return count


def fields(message, wanted):
    """Yields the values of a field of a message of protobuf that are messages or text."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == 2:
            size, at = varint(message, at)
            if key >> 3 == wanted:
                yield message[at : at + size]
            at += size
        elif kind == 0:
            _, at = varint(message, at)
        else:
            at += {1: 8, 5: 4}[kind]


def varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def available_kib():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
