"""Programs in release, and throw-away homes to run them in."""

import json
import os
import shutil
import subprocess
import tempfile

# A file system without a disk, where there is one.
MEMORY = "/dev/shm"
PROGRAMS = ("msb", "msb-runtime", "msb-metrics")
PREPARE = """
set -euo pipefail
. .ci/house.sh
toolchain
kernel
if [ "$1" = build ]; then
    # What the tests alone run is not built: each program is optimised as a whole.
    cargo build --release --locked -p orchestrator -p runtime -p tests \\
        --bin 'msb*' --bin 'bench-*' >&2
    agent
    base
fi
printf '%s\\n' "$target"
"""


class Workshop:
    """What benches work with: the programs, the kernel, homes, and a meter."""

    def __init__(self, checkout, meter, build):
        self.checkout, self.meter = checkout, meter
        self.target = prepare(checkout, build)
        self.kernel = os.path.realpath(os.path.join(self.target, "kernel"))
        self.programs = os.path.join(self.target, "bench", "programs")
        self.assemble()
        self.scratch = tempfile.mkdtemp(prefix="msb-bench-")
        self.memory = None
        self.homes = 0

    def assemble(self):
        """Puts the programs of one release side by side, as an installation has them."""
        os.makedirs(self.programs, exist_ok=True)
        sources = {name: os.path.join("release", name) for name in PROGRAMS}
        sources["agentd"] = "agentd/x86_64-unknown-linux-gnu/release/agentd"
        sources["base.oci.tar"] = "base/base.oci.tar"
        for name, source in sources.items():
            source, place = os.path.join(self.target, source), os.path.join(self.programs, name)
            if not os.path.exists(source):
                raise SystemExit(f"error: {source} was not built\n  hint: Run ./setup, or leave out --no-build.")
            if os.path.exists(place) and os.path.samefile(source, place):
                continue
            if os.path.exists(place):
                os.remove(place)
            os.link(source, place)

    def program(self, name):
        return os.path.join(self.programs, name)

    def tool(self, name):
        """Returns a program of the benches' own."""
        path = os.path.join(self.target, "release", name)
        if not os.path.exists(path):
            raise RuntimeError(f"{path} was not built")
        return path

    def home(self, driver=None, in_memory=False):
        """Returns a new empty home that knows the guest kernel; `driver` runs its machines."""
        self.homes += 1
        ground = self.scratch
        if in_memory and os.path.isdir(MEMORY):
            self.memory = self.memory or tempfile.mkdtemp(prefix="msb-bench-", dir=MEMORY)
            ground = self.memory
        return Home(self, os.path.join(ground, f"home{self.homes}"), driver)

    def close(self):
        for scratch in filter(None, (self.scratch, self.memory)):
            shutil.rmtree(scratch, ignore_errors=True)

    def facts(self):
        """Returns what a report must say of this host beyond what everyone can see."""
        kernel_version = "unknown"
        with open(os.path.join(self.kernel, "manifest"), encoding="utf-8") as file:
            for line in file:
                if line.startswith("source "):
                    kernel_version = line.partition(" ")[2].strip()
        qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False)
        return {
            "target": self.target,
            "kernel_version": f"{kernel_version}, key {os.path.basename(self.kernel)}",
            "driver": self.proved_driver(),
            "qemu": qemu.stdout.splitlines()[0] if qemu.stdout else "not installed",
        }

    def verdicts(self, which):
        """Returns what the runtime finds of `auto` or `all` drivers on this host."""
        image = os.path.join(self.scratch, "agent.cpio")
        runtime = self.program("msb-runtime")
        subprocess.run([runtime, "initramfs", "--agent", self.program("agentd"), "--out", image], check=True, capture_output=True)
        kernel = os.path.join(self.kernel, "vmlinux")
        probe = [runtime, "probe", which, "--kernel", kernel, "--initramfs", image]
        verdicts = subprocess.run(probe, capture_output=True, text=True, check=False)
        return [json.loads(line) for line in verdicts.stdout.splitlines()]

    def proved_driver(self):
        """Returns the driver that every bench gets."""
        for verdict in self.verdicts("auto"):
            if verdict["ok"]:
                return f"{verdict['driver']} on {verdict['accelerator']}, Hello after {verdict['hello_ms']} ms"
        return "none proved"


class Home:
    """A home of msb and a project folder, both thrown away at the end."""

    def __init__(self, workshop, path, driver=None):
        self.workshop, self.path, self.driver = workshop, path, driver
        self.state = os.path.join(path, "msb")
        self.project = os.path.join(path, "project")
        os.makedirs(self.project)
        os.makedirs(os.path.join(self.state, "kernels"), mode=0o700)
        os.chmod(self.state, 0o700)
        kernel = workshop.kernel
        os.symlink(kernel, os.path.join(self.state, "kernels", os.path.basename(kernel)))

    def env(self):
        env = {"PATH": os.environ["PATH"], "HOME": self.path, "MSB_HOME": self.state, "CI": "1"}
        return env | ({"MSB_DRIVER": self.driver} if self.driver else {})

    def msb(self, *arguments, expect=0, through=(), **options):
        """Runs msb in the project folder, started `through` another command; a wrong exit code ends the bench with
        its words."""
        os.chdir(self.project)
        command = [*through, self.workshop.program("msb"), *arguments]
        done = self.workshop.meter.run(command, env=self.env(), **options)
        if done.status != expect:
            words = done.err.decode(errors="replace").strip()
            raise RuntimeError(f"msb {' '.join(arguments)} ended with {done.status}: {words}")
        return done

    def write(self, name, text):
        self.write_pieces(name, [text])

    def write_pieces(self, name, pieces):
        """Writes a large file without holding it: see `Meter.run` of peaks."""
        with open(os.path.join(self.project, name), "w", encoding="utf-8") as file:
            file.writelines(pieces)

    def remove(self):
        os.chdir("/")
        shutil.rmtree(self.path, ignore_errors=True)


def prepare(checkout, build):
    """Builds what is missing in release; returns cargo's target folder."""
    command = ["bash", "-c", PREPARE, "prepare", "build" if build else "as-is"]
    done = subprocess.run(command, cwd=checkout, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit("error: what the benches need was not built")
    return done.stdout.splitlines()[-1]
