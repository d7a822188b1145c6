"""A scanner for `vendored.txt`: lines with name, version and licence of software that was copied into a tree."""

from wit_world import exports
from wit_world.exports.scanner import Report
from wit_world.imports.sbom import PackageInfo

# Largest file that is read, in bytes.
LARGEST = 1 << 20


def packages(path, content):
    for line in content.decode(errors="replace").splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            name, version, *licenses = words if len(words) > 1 else (words[0], "")
            yield PackageInfo(name, version, f"pkg:generic/{name}@{version}", licenses, [path], [], [])


class Scanner(exports.Scanner):
    def scan(self, root, options):
        found, after = [], None
        while page := root.glob(["**/vendored.txt"], after, 0):
            after = page[-1].path
            for entry in page:
                if entry.size <= LARGEST:
                    found += packages(entry.path, root.read(entry.path, LARGEST))
        return Report(found, [])
