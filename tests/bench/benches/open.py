"""OPEN: a command that finds many operations left open by one that was killed."""

import os
import signal
import sqlite3

from harness import fleet
from harness.meter import descendants
from harness.report import Bar, Line

SIZE, SIZE_SMOKE = 1000, 40
MOST_S = 1
SAMPLES, SAMPLES_SMOKE = 3, 3
FAILS, KILLED = 1, -signal.SIGKILL
DEADLINE_S = 900


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    size, samples = (SIZE, SAMPLES) if count > SAMPLES_SMOKE else (SIZE_SMOKE, 1)
    home = workshop.home(driver="process")
    # Some more than are counted: the first may have ended when the last begins.
    more = size + size // 10
    fleet.allow_many(home, boots=more)
    # Machines that are there and at rest, since what they run ends at once.
    home.write("Sandboxfile", fleet.kdl(more, ("sandbox", "true")))
    open_, settled, again = [], [], []
    try:
        home.msb("up", expect=FAILS, deadline_s=DEADLINE_S)
        for _ in range(samples):
            open_.append(kill_in_the_middle(workshop, home, size))
            settled.append(one(home))
            again.append(one(home))
        if min(open_) < size:
            raise RuntimeError(f"only {min(open_)} operations were left open")
    finally:
        home.msb("down", "--yes", until_gone=True, deadline_s=DEADLINE_S)
        home.remove()
    figure = f"settle {size} open operations"
    # A few more than that may have been open; each costs alike.
    taken = list(zip(settled, again, open_))
    for what, bar in (("cpu", Bar(MOST_S)), ("wall", None)):
        values = [(with_[what] - without[what]) * size / many for with_, without, many in taken]
        yield Line("OPEN", f"{figure}, {'CPU' if what == 'cpu' else what}", values, bar=bar)
    yield Line("OPEN", "the same command, nothing open, CPU", [without["cpu"] for without in again])


def one(home):
    done = home.msb("stop", "s00000")
    return {"cpu": done.own_cpu_s, "wall": done.ended_s}


def kill_in_the_middle(workshop, home, size):
    """Starts everything, and kills the command when so many operations are open; returns how many."""
    program = os.path.realpath(workshop.program("msb"))
    state = sqlite3.connect(f"file:{home.state}/db/msb.db?mode=ro", uri=True)

    def count():
        return state.execute("SELECT count(*) FROM op WHERE state = 'started'").fetchone()[0]

    def look():
        if count() >= size:
            for pid in descendants():
                if runs(pid, program):
                    os.kill(pid, signal.SIGKILL)

    try:
        home.msb("start", "--all", expect=KILLED, look=look, until_gone=True, deadline_s=DEADLINE_S)
        return count()
    finally:
        state.close()


def runs(pid, program):
    try:
        return os.readlink(f"/proc/{pid}/exe") == program
    except OSError:
        return False
