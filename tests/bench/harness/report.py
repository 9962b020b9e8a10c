"""The table people read and the JSON lines programs read, under one header."""

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass

from .sample import summary

SCALES = {"s": (1, "s"), "ms": (1e3, "ms"), "ratio": (1, "×"), "count": (1, ""), "MiB": (1, "MiB")}
# Wall time is judged only on a host that does nothing else.
LOAD_MAX = 0.3


@dataclass
class Bar:
    """A figure that must not be exceeded."""

    most: float
    # Wall bars are judged on a quiet host only.
    wall: bool = False


@dataclass
class Line:
    """One figure of a bench: seconds unless it is a ratio or a count."""

    bench: str
    figure: str
    values: list
    unit: str = "ms"
    bar: Bar = None

    def value(self):
        return summary(self.values).get("p50", float("nan"))


def ratio(bench, figure, over, under, most=None):
    """Returns the line of two medians divided."""
    value = summary(over)["p50"] / summary(under)["p50"]
    return Line(bench, figure, [value], unit="ratio", bar=Bar(most) if most else None)


class Report:
    """Collects lines; prints and writes them as they come."""

    def __init__(self, checkout, facts, against=None):
        self.folder = os.path.join(facts["target"], "bench")
        os.makedirs(self.folder, exist_ok=True)
        self.load = os.getloadavg()[0]
        self.header = header(checkout, facts, self.load)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.path = os.path.join(self.folder, f"{stamp}.jsonl")
        self.before = read_medians(against) if against else {}
        self.missed = []
        self.write({"header": self.header})
        for name, value in self.header.items():
            print(f"{name:>13}  {value}")
        print(f"\n{'':4} {'figure':48} {'n':>4} {'p50':>10} {'p95':>10} {'max':>10}  bar")

    def add(self, line):
        """Prints a line, writes it, and remembers whether its bar was missed."""
        stats = summary(line.values)
        verdict = self.judge(line)
        key = f"{line.bench} {line.figure}"
        scale, unit = SCALES[line.unit]
        shown = [f"{stats[name] * scale:9.2f}{unit:2}" if name in stats else "-" for name in ("p50", "p95", "max")]
        old = self.before.get(key)
        change = f"  {stats['p50'] / old:5.2f} × before" if old and "p50" in stats else ""
        columns = " ".join(f"{column:>11}" for column in shown)
        print(f"{line.bench:4} {line.figure:48} {stats['n']:>3} {columns}  {verdict}{change}", flush=True)
        bar = line.bar.most if line.bar else None
        entry = {"id": line.bench, "figure": line.figure, "unit": line.unit, **stats}
        self.write({**entry, "bar": bar, "verdict": verdict})

    def judge(self, line):
        if line.bar is None:
            return ""
        scale, unit = SCALES[line.unit]
        bar = f"≤ {line.bar.most * scale:g}{unit}"
        if line.bar.wall and self.load >= LOAD_MAX:
            return f"{bar} not judged: load {self.load:.1f}"
        if line.value() <= line.bar.most:
            return f"{bar} ok"
        self.missed.append(f"{line.bench} {line.figure}")
        return f"{bar} MISSED"

    def skip(self, bench, reason):
        """Prints why a bench did not run."""
        print(f"{bench:4} skip: {reason}", flush=True)
        self.write({"id": bench, "skip": reason})

    def write(self, value):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


def header(checkout, facts, load):
    """Returns the facts without which a figure is none."""
    return {
        "commit": git(checkout, "rev-parse", "--short=12", "HEAD")
        + (" and changes" if git(checkout, "status", "--porcelain", "--untracked-files=no") else ""),
        "profile": "release",
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "host kernel": platform.release(),
        "guest kernel": facts["kernel_version"],
        "driver": facts["driver"],
        "qemu": facts["qemu"],
        "load": f"{load:.2f}",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def git(checkout, *arguments):
    done = subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def read_medians(path):
    """Returns the medians of an earlier run by bench and figure."""
    medians = {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            entry = json.loads(text)
            if "p50" in entry:
                medians[f"{entry['id']} {entry['figure']}"] = entry["p50"]
    return medians
