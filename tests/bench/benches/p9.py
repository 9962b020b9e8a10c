"""P9: an image archive of gzip layers, loaded into an empty home; once more; and an image over it.

Archives are made once, from trees that are the same each time, and kept beside the reports. The
last one has as many entries as an image may have, for memory.
"""

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import traceback

from harness.report import Bar, Line, ratio
from harness.sample import alternate

OVER_GZIP_MOST = 1.2
AGAIN_MOST_S = 0.050
# Its shared bytes are hashed and copied, and not inflated.
SECOND_OVER_FIRST_MOST = 0.6
# 200 MB.
PEAK_MOST_MIB = 190
LAYERS, LAYER_BYTES = 2, 150 * 1024 * 1024
SMALL_BYTES, LARGE_BYTES, NOISE_BYTES = 8 * 1024, 1024 * 1024, 64 * 1024
WORDS = 4096
TOP_BYTES = 4 * 1024 * 1024
ENTRIES, A_FOLDER = 990_000, 4096


def measure(workshop, count):
    bench = os.path.join(workshop.target, "bench")
    folder = make_folder(os.path.join(bench, "p9-2x150MiB-4MiB"), make_images)
    layers = [os.path.join(folder, f"layer{index}.tar.gz") for index in range(LAYERS)]
    image, second = (os.path.join(folder, name) for name in ("image.tar", "second.tar"))
    again, over, peaks = [], [], []

    def load():
        home = workshop.home()
        done = home.msb("load", "--input", image)
        again.append(home.msb("load", "--input", image).cpu_s)
        over.append(home.msb("load", "--input", second).cpu_s)
        peaks.append(done.peak_mib)
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
    yield Line("P9", "load of another image, 4 MiB over the same layers, CPU", over[1:], unit="s")
    yield ratio("P9", "another image over the first, CPU", over[1:], ours["cpu"], SECOND_OVER_FIRST_MOST)
    yield Line("P9", "most memory of any process, load", peaks, unit="MiB", bar=Bar(PEAK_MOST_MIB))
    many = make_folder(os.path.join(bench, f"p9-{ENTRIES}"), make_many)
    home = workshop.home()
    done = home.msb("load", "--input", os.path.join(many, "image.tar"))
    home.remove()
    yield Line("P9", f"most memory of any process, {ENTRIES:,} files", [done.peak_mib], unit="MiB", bar=Bar(PEAK_MOST_MIB))
    if podman := shutil.which("podman"):
        theirs = [podman_load(workshop, podman, image) for _ in range(max(1, count // 10))]
        yield Line("P9", "podman load of the same archive, CPU", [done.cpu_s for done in theirs], unit="s")
        yield Line("P9", "podman load, wall", [done.ended_s for done in theirs], unit="s")


def podman_load(workshop, podman, image):
    """Loads an archive as podman does, into a store of its own that is thrown away."""
    store = tempfile.mkdtemp(prefix="msb-podman-")
    command = [podman, "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    done = workshop.meter.run([*command, "load", "--quiet", "--input", image], env=os.environ | {"TMPDIR": store})
    # What it mounted to try its driver is in the way of taking the store away.
    subprocess.run(["umount", f"{store}/root/overlay"], capture_output=True, check=False)
    shutil.rmtree(store, ignore_errors=True)
    if done.status != 0:
        raise RuntimeError(f"podman load ended with {done.status}: {done.err.decode(errors='replace').strip()}")
    return done


def make_folder(folder, make):
    """Returns a folder that `make` fills, whole or not at all."""
    if not os.path.exists(os.path.join(folder, "image.tar")):
        shutil.rmtree(folder + ".new", ignore_errors=True)
        os.makedirs(folder + ".new")
        apart(lambda: make(folder + ".new"))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(folder + ".new", folder)
    return folder


def apart(work):
    """Does work in a process of its own: its memory would hide what is measured, see `Meter.run`."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("what is to be loaded was not made")


def make_images(folder):
    """Makes two images: of two layers, and of the same with another one over them."""
    layers = [make_layer(os.path.join(folder, f"layer{index}.tar.gz"), index) for index in range(LAYERS)]
    top = make_layer(os.path.join(folder, "top.tar.gz"), LAYERS, TOP_BYTES)
    make_archive(os.path.join(folder, "second.tar"), "bench:p9-second", [*layers, top])
    make_archive(os.path.join(folder, "image.tar"), "bench:p9", layers)


def make_many(folder):
    """Makes an image of many small entries in one layer."""
    path = os.path.join(folder, "layer.tar.gz")
    inner = hashlib.sha256()
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as out:
        def put(data):
            inner.update(data)
            out.write(data)

        for start in range(0, ENTRIES, A_FOLDER):
            numbers = range(start, min(start + A_FOLDER, ENTRIES))
            put(b"".join(small_file(f"usr/share/many/{start // A_FOLDER:03}/file-{number:06}") for number in numbers))
        put(bytes(1024))
    make_archive(os.path.join(folder, "image.tar"), "bench:many", [finished(path, inner)])


def small_file(name):
    """Returns a header and one block of content, without the time that a library takes for it."""
    head = bytearray(512)
    for at, field in ((0, name.encode()), (100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0"),
                      (124, b"00000000004\0"), (136, b"00000000000\0"), (148, b" " * 8), (156, b"0"), (257, b"ustar\x0000")):
        head[at:at + len(field)] = field
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + name[-4:].encode() + bytes(508)


def make_archive(whole, name, layers, kinds=None):
    """Writes an OCI layout of these layers as an archive; of gzip, where `kinds` says nothing else."""
    kinds = kinds or ["application/vnd.oci.image.layer.v1.tar+gzip"] * len(layers)
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
            {"mediaType": kind, "digest": digest, "size": os.path.getsize(path)}
            for (path, digest, _), kind in zip(layers, kinds)
        ],
    }).encode()
    entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(whole, "w") as tar:
        add_bytes(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_bytes(tar, "index.json", index)
        for blob in (manifest, config):
            add_bytes(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for path, digest, _ in layers:
            tar.add(path, arcname=f"blobs/sha256/{digest.removeprefix('sha256:')}")


def make_layer(path, seed, most=LAYER_BYTES):
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
            while written < most:
                content = text(chance, words, LARGE_BYTES if number % 64 == 0 else SMALL_BYTES)
                if number % 64 == 0:
                    content += chance.randbytes(NOISE_BYTES)
                add_bytes(tar, f"usr/share/layer{seed}/{number // 256:03}/{number:06}", content)
                written, number = written + len(content), number + 1
    return finished(path, inner)


def finished(path, inner):
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
