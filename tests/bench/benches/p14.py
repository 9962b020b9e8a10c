"""P14: a machine for one command whose image only a registry on loopback has.

It is to cost what its parts cost: the pull what a load of the same image does, the rest what P1 is.
"""

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time

from benches.p9 import make_archive, make_folder, make_layer
from harness.report import Line, ratio
from harness.sample import alternate

OVER_PARTS_MOST = 1.05
LAYER_BYTES = 60 * 1024 * 1024
START_MAX_S = 60


def measure(workshop, count):
    for name in ("docker-registry", "skopeo"):
        if not shutil.which(name):
            raise RuntimeError(f"{name} is not installed")
    base = os.path.join(workshop.programs, "base.oci.tar")
    folder = make_folder(os.path.join(workshop.target, "bench", "p14-60MiB"), lambda folder: make_image(folder, base))
    image = os.path.join(folder, "image.tar")
    registry = Registry(os.path.join(workshop.scratch, "registry"), workshop.meter)
    try:
        reference = f"{registry.address}/bench:p14"
        registry.push(image, reference)
        kept, emptied = workshop.home(), workshop.home()
        command = ("run", "--rm", reference, "--", "echo", "up")
        for home in (kept, emptied):
            # The first machine of a home proves its driver.
            home.msb(*command, until_gone=True)

        def in_cache():
            return first_byte(kept.msb(*command, until_gone=True))

        def from_nothing():
            emptied.msb("image", "prune", "-y")
            return first_byte(emptied.msb(*command, until_gone=True))

        def load():
            home = workshop.home()
            done = home.msb("load", "--input", image)
            home.remove()
            return {"cpu": done.cpu_s, "wall": done.ended_s}

        taken = alternate({"p1": in_cache, "load": load, "t5": from_nothing}, count, warm_ups=1)
        kept.remove()
        emptied.remove()
    finally:
        registry.close()
    parts = [one + other for one, other in zip(taken["p1"]["cpu"], taken["load"]["cpu"])]
    yield Line("P14", "T5: msb to first output, empty cache, wall", taken["t5"]["wall"], unit="s")
    yield Line("P14", "T5, CPU, the registry's left out", taken["t5"]["cpu"], unit="s")
    yield Line("P14", "T3 of the same image in the cache, CPU", taken["p1"]["cpu"], unit="s")
    yield Line("P14", "load of the same image, CPU", taken["load"]["cpu"], unit="s")
    yield ratio("P14", "CPU of T5 over T3 and load", taken["t5"]["cpu"], parts, OVER_PARTS_MOST)


def first_byte(done):
    if done.out != b"up\n":
        raise RuntimeError(f"the command printed {done.out!r}")
    return {"cpu": done.first_byte_cpu_s, "wall": done.first_byte_s}


def make_image(folder, base):
    """Makes an image of the base root with a layer of text over it."""
    with tarfile.open(base) as tar:
        def blob(digest):
            return tar.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}").read()

        index = json.load(tar.extractfile("index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        config = json.loads(blob(manifest["config"]["digest"]))
        path = os.path.join(folder, "base.layer")
        with open(path, "wb") as out:
            out.write(blob(manifest["layers"][0]["digest"]))
    lower = (path, manifest["layers"][0]["digest"], config["rootfs"]["diff_ids"][0])
    kinds = [manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip"]
    upper = make_layer(os.path.join(folder, "text.tar.gz"), 7, LAYER_BYTES)
    make_archive(os.path.join(folder, "image.tar"), "bench:p14", [lower, upper], kinds)


class Registry:
    """Debian's registry, with a store that is thrown away."""

    def __init__(self, folder, meter):
        os.makedirs(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        config = os.path.join(folder, "config.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n")
            file.write(f"http: {{addr: '{self.address}'}}\n")
        self.child = subprocess.Popen(
            ["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        meter.beside.add(self.child.pid)
        self.meter = meter
        until = time.monotonic() + START_MAX_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > until:
                    self.close()
                    raise RuntimeError("the registry does not listen") from None
                time.sleep(0.05)

    def push(self, archive, reference):
        copy = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci-archive:{archive}", f"docker://{reference}"], check=True)

    def close(self):
        self.meter.beside.discard(self.child.pid)
        self.child.terminate()
        try:
            self.child.wait(timeout=10)
        except (subprocess.TimeoutExpired, ChildProcessError):
            self.child.kill()
