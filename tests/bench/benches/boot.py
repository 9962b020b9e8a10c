"""BOOT: the start of P1 under each driver that this host proves, side by side."""

from harness.report import Line
from harness.sample import alternate

from .p1 import COMMAND, one


def measure(workshop, count):
    # The best that a driver can do here is what it does.
    proved = {verdict["driver"]: verdict for verdict in reversed(workshop.verdicts("all")) if verdict["ok"]}
    homes = {driver: workshop.home(driver) for driver in proved}
    for home in homes.values():
        home.msb(*COMMAND, until_gone=True)
    taken = alternate({driver: lambda home=home: one(home) for driver, home in homes.items()}, count)
    for driver, home in homes.items():
        home.remove()
        name = f"{driver} on {proved[driver]['accelerator']}"
        for mark, words in (("t1", "VMM to guest process 1"), ("t2", "VMM to Ready"), ("t3", "msb to first output"), ("t4", "msb to nothing left")):
            yield Line("BOOT", f"{name}, {mark.upper()}: {words}, wall", taken[driver][mark])
        yield Line("BOOT", f"{name}, CPU of all processes until T3", taken[driver]["cpu"])
    yield Line("BOOT", "drivers that are proved here", [len(proved)], unit="count")
