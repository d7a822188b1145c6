#!/usr/bin/env python3
"""Times kiln beside its peers on the same work, in one run, alternating, on a fresh tmpfs each time.

    cargo xtask build && benches/workloads.py [--runs N] [--only W1,W2] [--peers buildah,docker]

Prints a Markdown table of medians (wall, CPU, peak memory of the largest process) and the ratio of each peer to kiln in
the same round. Needs root (tmpfs), `cargo xtask roots`, and for the peers Debian's `buildah` and `runc`, and the root
file system with Docker (BuildKit) that `cargo xtask differential` makes. Docker's figures are the sum of daemon,
containerd and client; its daemon is up before the clock starts.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KILN = pathlib.Path(os.environ.get("KILN_BIN", ROOT / "target/release/kiln"))
ROOTS = pathlib.Path(os.environ.get("KILN_TEST_ROOTS", pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "kiln-test"))

W1_FILES = 40_000
W1_BYTES = 1 << 30


class Scratch:
    """A fresh tmpfs."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="kiln-bench-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12g", "tmpfs", self.path], check=True)
        return self.path

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)
        self.path.rmdir()


def timed(command, **more):
    """Runs a command; returns wall and CPU seconds and the peak memory of its largest process in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **more)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        if status:
            log.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{log.read().decode(errors='replace')[-4000:]}")
    del before
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024}


def copy_tree(target):
    """Copies 40,000 files from /usr, 1 GiB together: most as they come, the last ones large enough to fill up."""
    found = []
    for directory, folders, names in os.walk("/usr"):
        folders.sort()
        paths = (pathlib.Path(directory, name) for name in sorted(names))
        found += [(path, path.stat().st_size) for path in paths if path.is_file() and not path.is_symlink()]
    # Machines with many toolchains have files that would be most of the tree.
    found = [(path, size) for path, size in found if size <= W1_BYTES // 64]
    few = W1_FILES // 40
    step = max(1, len(found) // W1_FILES)
    found = found[::step] + [f for n, f in enumerate(found) if n % step]
    chosen, rest = found[: W1_FILES - few], found[W1_FILES - few :]
    left = W1_BYTES - sum(size for _, size in chosen)
    for n in range(few):
        ideal = left / (few - n)
        best = min(range(len(rest)), key=lambda at: abs(rest[at][1] - ideal))
        chosen.append(rest.pop(best))
        left -= chosen[-1][1]
    for source, _ in chosen:
        place = target / source.relative_to("/usr")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)
    return len(chosen), sum(size for _, size in chosen)


class Kiln:
    name = "kiln"

    def __init__(self, scratch):
        self.env = {**os.environ, "KILN_HOME": str(scratch / "kiln")}

    def build(self, context, *flags):
        return timed([KILN, "build", "--progress=quiet", *flags, context], env=self.env)

    def archive(self, context, dest):
        return self.build(context, "-o", f"type=oci,dest={dest}")

    def cached(self, context):
        return self.build(context, "-o", "type=cacheonly")

    def base(self, context):
        return self.build(context, "--build-context", f"base=oci-layout://{ROOTS}/debian", "-t", "result")

    def close(self):
        pass

    def import_base(self, directory):
        (directory / "Dockerfile").write_text("FROM base\nRUN true\n")
        self.base(directory)


class Buildah:
    name = "buildah"

    def __init__(self, scratch):
        self.scratch = scratch
        self.flags = ["--root", scratch / "buildah/root", "--runroot", scratch / "buildah/run", "--storage-driver", "overlay"]

    def run(self, *words):
        return timed(["buildah", *self.flags, *words])

    def bud(self, context, *more):
        common = ["--layers", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--ulimit", "nofile=20000:20000"]
        return self.run("bud", *common, *more, context)

    def archive(self, context, dest):
        built = self.bud(context, "-t", "result")
        pushed = self.run("push", "result", f"oci-archive:{dest}")
        return {"wall": built["wall"] + pushed["wall"], "cpu": built["cpu"] + pushed["cpu"], "mib": max(built["mib"], pushed["mib"])}

    def cached(self, context):
        return self.bud(context)

    def base(self, context):
        return self.bud(context, "-t", "result")

    def close(self):
        pass

    def import_base(self, _):
        place = f"[overlay@{self.scratch}/buildah/root+{self.scratch}/buildah/run]localhost/base:latest"
        subprocess.run(["skopeo", "copy", "-q", f"oci:{ROOTS}/debian:latest", f"containers-storage:{place}"], check=True)


DOCKERD = """
set -eu
root=$1 data=$2
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount --rbind /tmp "$root/tmp"
mkdir -p "$root/var/lib/docker"
mount --bind "$data" "$root/var/lib/docker"
exec chroot "$root" /usr/sbin/dockerd --feature containerd-snapshotter=true \\
  --bridge=none --iptables=false --ip6tables=false --ip-forward=false
"""


class Docker:
    name = "docker"
    root = ROOTS / "docker"

    def __init__(self, scratch):
        self.scratch = scratch
        data = scratch / "docker"
        data.mkdir()
        self.log = open(scratch / "dockerd.log", "wb")
        shell = ["unshare", "--mount", "--propagation=private", "sh", "-c", DOCKERD, "sh", self.root, data]
        self.daemon = subprocess.Popen(shell, stdout=self.log, stderr=self.log)
        self.client = ["nsenter", f"--target={self.daemon.pid}", "--mount", "--root", "--wdns=/", "docker"]
        for _ in range(60):
            time.sleep(1)
            if subprocess.run([*self.client, "info"], capture_output=True).returncode == 0:
                return
        sys.exit("Docker does not come up: " + (scratch / "dockerd.log").read_text())

    def close(self):
        self.daemon.terminate()
        self.daemon.wait()
        self.log.close()

    def daemons(self):
        """Processor seconds of the daemon with its containerd and what they started, and their peak memory."""
        seconds, mib = 0.0, 0.0
        children = pathlib.Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text().split()
        found = {int(pid) for task in pathlib.Path(f"/proc/{self.daemon.pid}/task").iterdir() for pid in (task / "children").read_text().split()}
        for pid in {self.daemon.pid, *map(int, children), *found}:
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            seconds += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
            mib += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
        return seconds, mib

    def build(self, context, *flags):
        before, _ = self.daemons()
        figure = timed([*self.client, "build", "--quiet", "--provenance=false", *flags, context])
        seconds, mib = self.daemons()
        return {"wall": figure["wall"], "cpu": figure["cpu"] + seconds - before, "mib": figure["mib"] + mib}

    def archive(self, context, dest):
        return self.build(context, "-o", f"type=oci,dest={dest}")

    def cached(self, context):
        return self.build(context, "-o", "type=cacheonly")

    def base(self, context):
        return self.build(context, "--network=host", "-t", "result")

    def import_base(self, _):
        archive = self.scratch / "base.tar"
        subprocess.run(["skopeo", "copy", "-q", f"oci:{ROOTS}/debian:latest", f"docker-archive:{archive}:localhost/base:latest"], check=True)
        subprocess.run([*self.client, "load", "--quiet", "-i", archive], check=True, stdout=subprocess.DEVNULL)


def context_of(scratch, name, dockerfile):
    directory = scratch / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def w1(tool, scratch, results):
    context = scratch / "w1"
    copy_tree(context / "tree")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY tree /tree\n")
    results["W1: COPY of 40,000 files, 1 GiB, to an OCI archive, gzip 6"] = tool.archive(context, scratch / "out.tar")
    os.remove(scratch / "out.tar")
    tool.cached(context)
    results["W4: W1 without output, nothing changed"] = tool.cached(context)
    changed = next((context / "tree").rglob("*.h"), None) or next(p for p in (context / "tree").rglob("*") if p.is_file())
    changed.write_text("changed")
    results["W4: one small file changed"] = tool.cached(context)


def w2(tool, scratch, results):
    tool.import_base(context_of(scratch, "import", "FROM base\n"))
    base = "base" if tool.name == "kiln" else "localhost/base"
    steps = "".join(f"RUN true {n}\n" for n in range(10))
    context = context_of(scratch, "w2", f"FROM {base}\n{steps}")
    results["W2: Debian base, 10 RUN, cold"] = tool.base(context)
    results["W2: again, nothing to do"] = tool.base(context)


def w3(tool, scratch, results):
    tool.import_base(context_of(scratch, "import", "FROM base\n"))
    base = "base" if tool.name == "kiln" else "localhost/base"
    text = ""
    for n in range(8):
        text += f"FROM {base} AS s{n}\nRUN head -c 300M /dev/zero | sha256sum > /sum{n}; head -c 32M /dev/urandom > /file{n}\n"
    text += f"FROM {base}\n" + "".join(f"COPY --from=s{n} /sum{n} /file{n} /\n" for n in range(8))
    context = context_of(scratch, "w3", text)
    results["W3: eight stages at once"] = tool.base(context)


WORKLOADS = {"W1": w1, "W2": w2, "W3": w3}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="W1,W2,W3")
    parser.add_argument("--peers", default="buildah,docker")
    parser.add_argument("--json")
    args = parser.parse_args()
    there = {"buildah": shutil.which("buildah"), "docker": Docker.root.exists()}
    tools = [Kiln] + [t for t in (Buildah, Docker) if t.name in args.peers.split(",") and there[t.name]]
    figures = {}
    for _ in range(args.runs):
        for key in args.only.split(","):
            for tool in tools:
                with Scratch() as scratch:
                    results = {}
                    running = tool(scratch)
                    try:
                        WORKLOADS[key](running, scratch, results)
                    finally:
                        running.close()
                    for work, figure in results.items():
                        figures.setdefault(work, {}).setdefault(tool.name, []).append(figure)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))
    print(f"{os.cpu_count()} cores, {args.runs} rounds, medians\n")
    print("| work | tool | wall s | CPU s | peak MiB | wall, ratio to kiln |\n|---|---|---|---|---|---|")
    for work, by_tool in figures.items():
        ours = [f["wall"] for f in by_tool["kiln"]]
        for tool, runs in by_tool.items():
            median = {k: statistics.median(f[k] for f in runs) for k in ("wall", "cpu", "mib")}
            ratio = statistics.median(r["wall"] / o for r, o in zip(runs, ours))
            print(f"| {work} | {tool} | {median['wall']:.3f} | {median['cpu']:.3f} | {median['mib']:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
