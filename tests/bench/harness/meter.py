"""Counts the processor time of every process that a bench starts, ended and living.

The bench is a child subreaper: whatever a case leaves behind becomes its child. What has ended
is counted once, from `wait4`; what lives is read from its own clock, so both add up to the
same total however a case is cut into samples.
"""

import ctypes
import os
import resource
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field

PR_SET_CHILD_SUBREAPER = 36
TICKS_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# How often the VMM's clock is read while a case runs: its last reading is its processor time.
WATCH_S = 0.003
# How often a case may look at something itself: what the bench burns, the case waits for.
LOOK_S = 0.030
CASE_DEADLINE_S = 120
# A bench that holds more would hide what it measures.
OWN_PEAK_MOST_KIB = 32 << 10
VMM = "qemu-system"


@dataclass
class Run:
    """One command from its start until nothing of it is left."""

    status: int
    out: bytes
    err: bytes
    # Seconds from the start: first byte of output, end of the command, end of all it started.
    first_byte_s: float
    ended_s: float
    gone_s: float
    # Processor seconds of everything below the bench, and of VMMs alone; the same up to the
    # first byte of output.
    cpu_s: float
    vmm_s: float
    first_byte_cpu_s: float
    first_byte_vmm_s: float
    # What the command used itself, with those of its children that it waited for.
    own_cpu_s: float
    # The most memory that the command itself held; never less than what the bench itself held
    # when it started the command, for a program inherits that figure of who started it.
    peak_mib: float
    vmm_arguments: list = field(default_factory=list)
    vmm_files: dict = field(default_factory=dict)


class Meter:
    """The processor time of everything below this process."""

    def __init__(self):
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl: cannot become a subreaper")
        self.ended_ns = 0
        self.statuses = {}
        self.peaks_kib = {}
        self.own_s = {}
        # Servers that a bench runs beside what it measures: neither counted nor waited for.
        self.beside = set()

    def total_ns(self):
        """Returns what has been used so far, by the ended and the living."""
        self.reap()
        return self.ended_ns + sum(used_ns(pid) for pid in descendants() if pid not in self.beside)

    def vmm_ns(self):
        """Returns what living VMMs have used so far."""
        return sum(used_ns(pid) for pid in descendants() if is_vmm(pid))

    def reap(self):
        """Takes in what has ended; tells whether anything is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return not self.beside or any(pid not in self.beside for pid in descendants())
            self.statuses[pid] = os.waitstatus_to_exitcode(status)
            self.peaks_kib[pid] = usage.ru_maxrss
            self.own_s[pid] = usage.ru_utime + usage.ru_stime
            self.ended_ns += round((usage.ru_utime + usage.ru_stime) * 1e9)

    def run(
        self,
        command,
        env=None,
        stdin=None,
        until_gone=False,
        capture_vmm=False,
        look=None,
        session=False,
        terminal=False,
        deadline_s=CASE_DEADLINE_S,
    ):
        """Runs a command to its end; `until_gone` waits for all it left behind too.

        `look` is called now and then while it runs. `session` gives the command a session of
        its own, as machines have: the host's scheduler shares out time among sessions. With
        `terminal` it complains to a terminal.
        """
        own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if own_kib > OWN_PEAK_MOST_KIB:
            raise RuntimeError(f"the bench itself has held {own_kib >> 10} MiB: no peak below that can be seen")
        before, before_vmm = self.total_ns(), self.vmm_ns()
        self.statuses.clear()
        self.peaks_kib.clear()
        self.own_s.clear()
        started = time.monotonic()
        master, slave = os.openpty() if terminal else (None, subprocess.PIPE)
        child = subprocess.Popen(
            command,
            env=env,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            start_new_session=session,
        )
        if terminal:
            os.close(slave)
            child.stderr = os.fdopen(master, "rb", buffering=0)
        watch = Watch(self, child, started)
        ended, left, next_look = None, True, 0
        while ended is None or (until_gone and left):
            watch.turn(capture_vmm, WATCH_S if until_gone else 0.05)
            left = self.reap()
            now = time.monotonic() - started
            if look and now >= next_look:
                look()
                next_look = now + LOOK_S
            if ended is None and child.pid in self.statuses:
                ended = now
            if now > deadline_s:
                os.kill(child.pid, signal.SIGKILL)
                raise TimeoutError(f"{command} did not end within {deadline_s} s")
        gone = time.monotonic() - started
        watch.drain()
        child.returncode = self.statuses[child.pid]
        child.stdout.close()
        child.stderr.close()
        vmm = watch.vmm_ns if until_gone else self.vmm_ns() - before_vmm
        return Run(
            status=child.returncode,
            out=bytes(watch.out),
            err=bytes(watch.err),
            first_byte_s=watch.first_byte_s,
            ended_s=ended,
            gone_s=gone,
            cpu_s=(self.total_ns() - before) / 1e9,
            vmm_s=vmm / 1e9,
            first_byte_cpu_s=(watch.first_byte_ns - before) / 1e9,
            first_byte_vmm_s=watch.first_byte_vmm_ns / 1e9,
            own_cpu_s=self.own_s[child.pid],
            peak_mib=self.peaks_kib[child.pid] / 1024,
            vmm_arguments=watch.vmm_arguments,
            vmm_files=watch.vmm_files,
        )


class Watch:
    """What is seen of a command while it runs: its output, and the clock of its VMM."""

    def __init__(self, meter, child, started):
        self.meter, self.started = meter, started
        self.out, self.err = bytearray(), bytearray()
        self.first_byte_s = self.first_byte_ns = float("nan")
        self.first_byte_vmm_ns = 0
        self.vmm, self.vmm_ns = None, 0
        self.vmm_arguments, self.vmm_files = [], {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(child.stdout, selectors.EVENT_READ, self.out)
        self.selector.register(child.stderr, selectors.EVENT_READ, self.err)

    def turn(self, capture_vmm, wait_s):
        """Waits for output for a moment, and looks at the VMM."""
        if self.selector.get_map():
            for key, _ in self.selector.select(wait_s):
                self.take(key)
        else:
            time.sleep(wait_s)
        if wait_s > WATCH_S:
            return
        if self.vmm is None:
            self.vmm = next((pid for pid in descendants() if is_vmm(pid)), None)
        elif used := used_ns(self.vmm):
            self.vmm_ns = max(self.vmm_ns, used)
        # A program that has just taken the place of another need not have its arguments yet.
        if self.vmm and capture_vmm and not self.vmm_arguments:
            self.vmm_arguments, self.vmm_files = capture(self.vmm)

    def take(self, key):
        try:
            chunk = os.read(key.fd, 65536)
        except OSError:
            # A terminal whose last user has gone.
            chunk = b""
        if not chunk:
            self.selector.unregister(key.fileobj)
            return
        if key.data is self.out and not self.out:
            self.first_byte()
        key.data.extend(chunk)

    def first_byte(self):
        """Stamps the moment, and what was used until then: the VMM first, for it goes on."""
        self.first_byte_s = time.monotonic() - self.started
        vmm_ns = used_ns(self.vmm) if self.vmm else 0
        self.meter.reap()
        others = sum(used_ns(pid) for pid in descendants() if pid not in self.meter.beside and pid != self.vmm)
        self.first_byte_vmm_ns = vmm_ns
        self.first_byte_ns = self.meter.ended_ns + others + vmm_ns

    def drain(self):
        """Reads what is left in the pipes of a command that has ended."""
        deadline = time.monotonic() + 1
        while self.selector.get_map() and time.monotonic() < deadline:
            for key, _ in self.selector.select(0.05):
                self.take(key)



def descendants():
    """Returns every living process below this one, zombies left out."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := stat_fields(int(name))):
            if stat[0] != "Z":
                parents[int(name)] = int(stat[1])
    known, found = {os.getpid()}, []
    while True:
        more = [pid for pid, parent in parents.items() if parent in known and pid not in known]
        if not more:
            return found
        known.update(more)
        found.extend(more)


def stat_fields(pid):
    """Returns the fields of `/proc/PID/stat` from the state on, or nothing."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def used_ns(pid):
    """Returns the processor time of a process and of the children it has waited for."""
    try:
        # CPUCLOCK_SCHED of a whole process, as clock_getcpuclockid makes it.
        own = time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0
    stat = stat_fields(pid)
    waited = int(stat[13]) + int(stat[14]) if stat else 0
    return own + waited * TICKS_NS


def is_vmm(pid):
    """Tells whether a process is QEMU or a machine of libkrun."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read(8) == b"msb-vmm\0":
                return True
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(VMM)
    except OSError:
        return False


def capture(pid):
    """Returns a VMM's arguments and what its descriptors are."""
    folder = f"/proc/{pid}"
    try:
        with open(f"{folder}/cmdline", "rb") as file:
            words = [word.decode() for word in file.read().split(b"\0")[:-1]]
        files = {int(number): os.readlink(f"{folder}/fd/{number}") for number in os.listdir(f"{folder}/fd")}
    except OSError:
        return [], {}
    return words, files
