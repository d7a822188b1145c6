"""A cataloger for `vendored.txt`: lines with name, version and licence of software that was copied into a tree."""

from wit_world import exports
from wit_world.exports.cataloger import Interest
from wit_world.imports.sbom import PackageInfo


def packages(path, content):
    for line in content.decode(errors="replace").splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            name, version, *licenses = words if len(words) > 1 else (words[0], "")
            yield PackageInfo(name, version, f"pkg:generic/{name}@{version}", licenses, [path], [], [])


class Cataloger(exports.Cataloger):
    def interests(self):
        return [Interest("vendored", ["**/vendored.txt"], 1 << 20, None)]

    def catalog(self, files):
        return [package for file in files for package in packages(file.path, file.content)]
