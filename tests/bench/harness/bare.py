"""Yardstick Y2: the guest kernel of a machine, with its arguments, and a first process that leaves.

The arguments are those of a VMM that was seen running; what came to it as a descriptor is
replaced by a file or by nothing, so that the bare boot can stand alone.
"""

import os
import re
import subprocess


def make_init(workshop):
    """Returns an initramfs whose first process writes one line and powers off."""
    source = os.path.join(workshop.checkout, "tests/bench/y2.c")
    program = os.path.join(workshop.scratch, "y2")
    subprocess.run(["gcc", "-static", "-O2", "-o", program, source], check=True)
    return initramfs(workshop, program)


def initramfs(workshop, program):
    """Returns an initramfs with a program as first process."""
    image = f"{program}.cpio"
    make = [workshop.program("msb-runtime"), "initramfs", "--agent", program, "--out", image]
    subprocess.run(make, check=True, capture_output=True)
    return image


class BareBoot:
    """A boot of the kernel alone, as the machine of `seen` was booted."""

    def __init__(self, workshop, seen):
        self.meter = workshop.meter
        kernel = os.path.join(workshop.kernel, "vmlinux")
        stand_ins = {"-kernel": kernel, "-initrd": make_init(workshop)}
        self.command = stand_alone(workshop, seen, stand_ins)

    def run(self):
        done = self.meter.run(self.command, until_gone=True, session=True)
        if done.status != 0 or b"Y2" not in done.out:
            raise RuntimeError(f"the bare boot failed: {done.status} {done.err!r} {done.out[-200:]!r}")
        return {"cpu": done.cpu_s, "wall": done.ended_s}


def stand_alone(workshop, seen, stand_ins):
    """Returns the arguments of a VMM with everything it inherited replaced."""
    words, command, sets = seen.vmm_arguments[1:], ["qemu-system-x86_64"], {}
    if not words:
        raise RuntimeError("no VMM was seen: its arguments are unknown")
    for option, value in zip(words, words[1:] + [""]):
        if not option.startswith("-"):
            continue
        if option == "-add-fd":
            number, group = re.fullmatch(r"fd=(\d+),set=(\d+)", value).groups()
            sets[group] = disk(workshop, seen.vmm_files.get(int(number), ""), group)
            continue
        if option == "-mon" or value.startswith("socket,id=qmp"):
            continue
        if option in stand_ins:
            value = stand_ins[option]
        value = re.sub(r"^socket,id=con,.*", "stdio,id=con,signal=off", value)
        value = re.sub(r"^socket,id=(\w+),.*", r"null,id=\1", value)
        value = re.sub(r"^stream,id=net,.*", "hubport,id=net,hubid=0", value)
        value = re.sub(r"/dev/fdset/(\d+)", lambda match: sets[match.group(1)], value)
        command.append(option)
        if value and not value.startswith("-"):
            command.append(value)
    return command


def disk(workshop, path, group):
    """Returns a disk as large as the one at `path`, which may be gone or let go of by now."""
    if os.path.exists(path) and path.endswith(".erofs"):
        return path
    blank = os.path.join(workshop.scratch, f"y2-disk{group}")
    with open(blank, "wb") as file:
        file.truncate(os.path.getsize(path) if os.path.exists(path) else 1 << 30)
    return blank
