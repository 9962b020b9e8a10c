"""P9: an image archive of gzip layers, loaded into an empty home.

The archive is made once, from a tree that is the same each time, and kept beside the reports.
"""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile

from harness.report import Bar, Line, ratio
from harness.sample import alternate

OVER_GZIP_MOST = 1.5
AGAIN_MOST_S = 0.050
LAYERS, LAYER_BYTES = 2, 150 * 1024 * 1024
SMALL_BYTES, LARGE_BYTES, NOISE_BYTES = 8 * 1024, 1024 * 1024, 64 * 1024
WORDS = 4096


def measure(workshop, count):
    archive = make_archive(os.path.join(workshop.target, "bench", "p9-2x150MiB"))
    layers = [os.path.join(archive, name) for name in os.listdir(archive) if name.endswith(".gz")]
    image = os.path.join(archive, "image.tar")
    again = []

    def load():
        home = workshop.home()
        done = home.msb("load", "--input", image)
        again.append(home.msb("load", "--input", image).cpu_s)
        home.remove()
        return {"cpu": done.cpu_s, "wall": done.ended_s}

    def yardstick():
        # Both sides of each stream: what came, and what it holds.
        script = 'for layer; do sha256sum "$layer"; gzip -dc "$layer" | sha256sum; done'
        done = workshop.meter.run(["sh", "-c", script, "y3", *layers])
        return {"cpu": done.cpu_s, "wall": done.ended_s}

    taken = alternate({"load": load, "y3": yardstick}, count, warm_ups=1)
    ours, theirs = taken["load"], taken["y3"]
    yield Line("P9", "load, 300 MiB unpacked in 2 gzip layers, CPU", ours["cpu"], unit="s")
    yield Line("P9", "load, wall", ours["wall"], unit="s")
    yield Line("P9", "Y3: gzip -dc and SHA-256, CPU", theirs["cpu"], unit="s")
    yield ratio("P9", "CPU over Y3", ours["cpu"], theirs["cpu"], OVER_GZIP_MOST)
    yield Line("P9", "load again, CPU", again[1:], bar=Bar(AGAIN_MOST_S))


def make_archive(folder):
    """Returns the folder with `image.tar`, an OCI layout, and its layers."""
    if os.path.exists(os.path.join(folder, "image.tar")):
        return folder
    os.makedirs(folder, exist_ok=True)
    layers = [make_layer(os.path.join(folder, f"layer{index}.tar.gz"), index) for index in range(LAYERS)]
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, _, diff_id in layers]},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": os.path.getsize(path)}
            for path, digest, _ in layers
        ],
    }).encode()
    entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "bench:p9"}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    whole = os.path.join(folder, "image.tar")
    with tarfile.open(whole + ".new", "w") as tar:
        add_bytes(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_bytes(tar, "index.json", index)
        for blob in (manifest, config):
            add_bytes(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for path, digest, _ in layers:
            tar.add(path, arcname=f"blobs/sha256/{digest.removeprefix('sha256:')}")
    os.rename(whole + ".new", whole)
    return folder


def make_layer(path, seed):
    """Writes a layer of text and a little noise; returns path, digest, diff id."""
    chance = random.Random(seed)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 12))) for _ in range(WORDS)]
    inner = hashlib.sha256()

    class Tee:
        """Hashes what the tar writer writes, on its way into gzip."""

        def write(self, data):
            inner.update(data)
            return out.write(data)

    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as out:
        with tarfile.open(fileobj=Tee(), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            written = number = 0
            while written < LAYER_BYTES:
                content = text(chance, words, LARGE_BYTES if number % 64 == 0 else SMALL_BYTES)
                if number % 64 == 0:
                    content += chance.randbytes(NOISE_BYTES)
                add_bytes(tar, f"usr/share/layer{seed}/{number // 256:03}/{number:06}", content)
                written, number = written + len(content), number + 1
    with open(path, "rb") as file:
        return path, "sha256:" + hashlib.file_digest(file, "sha256").hexdigest(), "sha256:" + inner.hexdigest()


def text(chance, words, size):
    return b" ".join(chance.choices(words, k=size // 5))[:size]


def add_bytes(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def descriptor(media_type, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}
