"""A frontend for images of Debian packages, files and a command, written down as a small part of YAML."""

import json
import traceback

from wit_world import exports
from wit_world.imports import build, log
from wit_world.imports.graph import (
    CopyAction, Definition, Exec, FileAct_Copy, FileAction, FileInput_Action, FileInput_Vertex, Input, Mount,
    MountKind_Bind, Network, Op_Exec, Op_File, Op_Source, Security, Source, Vertex,
)
from wit_world.imports.lowering import Description, Failure, Lowered, Output
from wit_world.imports.types import Diagnostic, Position, Severity, SourceFile, Span
from componentize_py_types import Err

ENV = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]


class Wrong(Exception):
    """A line of the build file, and what is wrong with it."""


def failure(message, line=0, sources=()):
    spans = [Span(0, Position(line, 1), Position(line + 1, 1))] if line and sources else []
    return Err(Failure([Diagnostic(Severity.ERROR, "", message, [], None, None, spans)], list(sources)))


def parse(text):
    image, section = {"base": "", "line": 1, "packages": [], "files": [], "command": ""}, ""
    for number, line in enumerate(text.splitlines(), 1):
        item = line.strip()
        key, colon, value = (part.strip() for part in item.partition(":"))
        if not item or item.startswith("#"):
            continue
        elif line.startswith(" ") and section == "packages":
            if not item.startswith("- "):
                raise Wrong(number, "expected `- PACKAGE`")
            image["packages"].append(item[2:].strip())
        elif not colon:
            raise Wrong(number, "expected `FILE: PATH`" if line.startswith(" ") and section == "files"
                        else "expected `KEY: VALUE`")
        elif line.startswith(" ") and section == "files":
            image["files"].append((key, value))
        elif key in ("base", "packages", "files", "command"):
            section = key
            if key in ("base", "command"):
                image[key] = value
            if key == "base":
                image["line"] = number
        else:
            raise Wrong(number, f"unknown key `{key}`: expected base, packages, files or command")
    if not image["base"]:
        raise Wrong(1, "`base` is missing: it names the image to start from")
    return image


def install(packages, rootfs):
    command = f"apt-get update && apt-get install --yes --no-install-recommends {packages}"
    root = Mount(rootfs, "", "/", 0, False, MountKind_Bind())
    return Op_Exec(Exec(["/bin/sh", "-c", command], ENV, "/", "", [], [], "", [], "", [root],
                        Network.SANDBOX, Security.SANDBOX, [], [], []))


def copies(context, rootfs, files):
    for index, (source, dest) in enumerate(files):
        copy = CopyAction(FileInput_Vertex(context), f"/{source}", dest, None, 0o755, "", True, True, False, True,
                          False, False, None, [], [], False, [])
        on = FileInput_Action(index - 1) if index else FileInput_Vertex(rootfs)
        yield FileAction(on, FileAct_Copy(copy), 0 if index + 1 == len(files) else None)


def lower(image, request):
    platform, vertices = (request.platforms or [request.build_platform])[0], []

    def add(op, name):
        vertices.append(Vertex(op, platform, name, [], False, None))
        return Input(len(vertices) - 1, 0)

    try:
        resolved = build.resolve_image(f"docker-image://{image['base']}", platform, "", "")
    except Err as error:
        raise Wrong(image["line"], error.value.value)
    rootfs = add(Op_Source(Source(f"docker-image://{resolved.reference}", [])), f"from {image['base']}")
    if image["packages"]:
        packages = " ".join(image["packages"])
        rootfs = add(install(packages, rootfs), f"install {packages}")
    if image["files"]:
        context = add(Op_Source(Source("local://context", [])), "load the context")
        actions = list(copies(context, rootfs, image["files"]))
        rootfs = add(Op_File(actions), "copy " + " ".join(source for source, _ in image["files"]))
    config = {"architecture": platform.architecture, "os": platform.os,
              "config": {"Cmd": ["/bin/sh", "-c", image["command"]]}}
    config = json.dumps(config, separators=(",", ":"), ensure_ascii=False).encode()
    return Lowered(Definition(vertices, []), [Output(platform, rootfs, config, [])], [], [])


class Frontend(exports.Frontend):
    def describe(self):
        return Description("PLUGIN_NAME", "0.1", [])

    def subrequest(self, id, request, files):
        raise failure(f"unsupported request `{id}`")

    def lower(self, request, files):
        data = files.read(request.source_name, 1 << 20)
        try:
            return lower(parse(data.decode()), request)
        except Wrong as wrong:
            line, message = wrong.args
            raise failure(message, line, [SourceFile(request.source_name, "yaml", data)])
        except Exception as error:
            # A traceback reaches the user this way. There are no files here for Python to read its lines from.
            frames = [f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
                      for frame, line in traceback.walk_tb(error.__traceback__)]
            text = ["Traceback (most recent call last):", *frames, f"{type(error).__name__}: {error}"]
            log.log(log.Level.ERROR, "\n".join(text))
            raise
