"""WAKE: `up --watch`, from a change of the file to what is said of it."""

import os
import selectors
import signal
import subprocess
import time

from harness import fleet
from harness.report import Bar, Line

SIZE, SIZE_SMOKE = 1000, 100
WALL_MOST_S = 0.500
SAMPLES, SAMPLES_SMOKE = 10, 3
DEADLINE_S = 60
MAKE_DEADLINE_S = 900


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    size = SIZE if count > SAMPLES_SMOKE else SIZE_SMOKE
    home = workshop.home(driver="process")
    home.write("Sandboxfile", fleet.kdl(size, fleet.JOB))
    try:
        home.msb("up", deadline_s=MAKE_DEADLINE_S)
        waited = watched(workshop, home, size, min(count, SAMPLES))
    finally:
        home.remove()
    yield Line("WAKE", f"from the change to the plan, {size} at rest, wall", waited, bar=Bar(WALL_MOST_S, wall=True))


def watched(workshop, home, size, count):
    """Changes one sandbox after the other; each would have to be made anew, which is only said."""
    os.chdir(home.project)
    words = [workshop.program("msb"), "up", "--watch"]
    child = subprocess.Popen(words, env=home.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = Said(child.stdout)
        said.until(b"round 1: ")
        waited = []
        for at in range(count):
            # Files are whole when they have their name, as editors write them.
            home.write("next", fleet.kdl(size, fleet.JOB, memory={at: "96MiB"}))
            began = time.monotonic()
            os.rename("next", "Sandboxfile")
            said.until(f"left undone: recreate of sandbox.s{at:05}".encode())
            waited.append(time.monotonic() - began)
        return waited
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(DEADLINE_S)
        child.stdout.close()


class Said:
    """What a command says, as it comes."""

    def __init__(self, stream):
        self.stream, self.text = stream, b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(stream, selectors.EVENT_READ)

    def until(self, words):
        """Reads until these words come, and forgets what was before them."""
        deadline = time.monotonic() + DEADLINE_S
        while words not in self.text:
            if not self.selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError(f"nothing was said of {words!r} within {DEADLINE_S} s")
            chunk = os.read(self.stream.fileno(), 65536)
            if not chunk:
                raise RuntimeError(f"it ended: {self.text.decode(errors='replace').strip()}")
            self.text += chunk
        self.text = self.text.partition(words)[2]
