#!/usr/bin/env python3
"""Times what comes before the first step: reading a Dockerfile of 1,000 lines and 100 stages, checking it, and listing a
context of 100,000 paths through a `.dockerignore` of 1,000 patterns; and the memory for a directory of a million entries.

    cargo xtask build && benches/frontend.py [--runs N] [--only NAME,…]

Prints a Markdown table: the median, the best, the peak memory, and the limit. Each run is a new process on a store that
has nothing but the plugins' machine code. Fails when a median is above its limit.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KILN = pathlib.Path(os.environ.get("KILN_BIN", ROOT / "target/release/kiln"))

STAGES = 100
PATHS = 100_000
PATTERNS = 1_000
ENTRIES = 1_000_000


def dockerfile():
    """Returns 100 stages of ten lines, each of which uses the one before."""
    lines = []
    for at in range(STAGES):
        lines += [
            f"FROM scratch AS s{at}",
            f"ARG V{at}=x",
            f"ENV E{at}=$V{at} PATH=/a:$PATH",
            f"WORKDIR /w{at}",
            f"COPY --chown=1:1 a{at} b ./",
            f"RUN --mount=type=cache,target=/c make $V{at} && make install",
            f"COPY --from=s{at - 1} /x /y" if at else "COPY x /y",
            f"LABEL l{at}=v",
            f"USER u{at}",
            'CMD ["x"]',
        ]
    return "\n".join(lines) + "\n"


def patterns():
    """Returns an ignore file as people write it: names, paths, wildcards, exceptions."""
    forms = ["dir{0}/sub", "**/name{0}", "*.ext{0}", "a{0}/**/b", "!dir{0}/sub/keep{0}", "file{0}*", "**/*.x{0}", "deep/?{0}", "dir{0}/*.o", "**/t{0}/**"]
    return "".join(forms[at % len(forms)].format(at) + "\n" for at in range(PATTERNS))


class Workloads:
    """What is timed. Each returns a command and the limit of its median in seconds, or of its memory in MiB."""

    def __init__(self, place):
        self.place = place

    def project(self, name, text):
        directory = self.place / name
        directory.mkdir()
        (directory / "Dockerfile").write_text(text)
        return directory

    def lower(self):
        return ["plugin", "graph", "builtin:dockerfile", self.project("lower", dockerfile())], ("wall", 0.030)

    def check(self):
        return ["build", "--check", self.project("check", dockerfile())], ("wall", 0.030)

    def ignore(self):
        directory = self.project("ignore", "FROM scratch\nCOPY . /\n")
        (directory / ".dockerignore").write_text(patterns())
        for at in range(PATHS // 100):
            folder = directory / f"dir{at}" / "sub" if at % 2 else directory / "src" / f"t{at}"
            folder.mkdir(parents=True)
            for number in range(100):
                (folder / f"file{number}.o").touch()
        return ["build", "-o", "type=cacheonly", directory], ("wall", 1.0)

    def million(self):
        directory = self.project("million", "FROM scratch\nCOPY many /many\n")
        (directory / "many").mkdir()
        empty = directory / "many" / "empty"
        empty.touch()
        for at in range(ENTRIES):
            os.symlink("empty", directory / "many" / f"entry-{at:07}")
        return ["build", "-o", "type=cacheonly", directory], ("mib", 2048)


def once(command, home):
    """Runs a command in a store of its own; returns its seconds and MiB."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(home.with_name("warm"), home)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KILN_HOME": str(home)}
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        process = subprocess.Popen([KILN, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        if status:
            log.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{log.read().decode(errors='replace')[-4000:]}")
    return {"wall": wall, "mib": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--only", default="lower,check,ignore,million")
    options = parser.parse_args()
    over = []
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as place:
        place = pathlib.Path(place)
        warm = place / "warm"
        hello = place / "hello"
        hello.mkdir()
        (hello / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
        environment = {"PATH": os.environ["PATH"], "HOME": str(warm), "KILN_HOME": str(warm)}
        subprocess.run([KILN, "build", "-q", "-o", "type=cacheonly", hello], env=environment, check=True)
        print(f"| workload | median | best | peak memory | limit |\n|---|---|---|---|---|")
        for name in options.only.split(","):
            command, (what, limit) = getattr(Workloads(place), name)()
            runs = options.runs if what == "wall" else 1
            times = [once(command, place / "store") for _ in range(runs)]
            median = {key: statistics.median(one[key] for one in times) for key in times[0]}
            best = min(one["wall"] for one in times)
            shown = f"{limit * 1000:.0f} ms" if what == "wall" else f"{limit} MiB"
            print(f"| {name} | {median['wall'] * 1000:.1f} ms | {best * 1000:.1f} ms | {median['mib']:.0f} MiB | {shown} |", flush=True)
            if median[what] > limit:
                over.append(name)
    if over:
        sys.exit(f"above the limit: {', '.join(over)}")


if __name__ == "__main__":
    main()
