"""A frontend for build files with the lines `from IMAGE`, `run COMMAND`, `copy SOURCE DESTINATION`, `cmd PROGRAM`."""

import json

from wit_world import exports
from wit_world.imports import build
from wit_world.imports.graph import (
    CopyAction, Definition, Exec, FileAct_Copy, FileAction, FileInput_Scratch, FileInput_Vertex, Input, Mount,
    MountKind_Bind, Network, Op_Exec, Op_File, Op_Source, Security, Source, Vertex,
)
from wit_world.imports.lowering import Description, Failure, Lowered, Output
from wit_world.imports.types import Diagnostic, Position, Severity, SourceFile, Span
from componentize_py_types import Err

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def failure(message, line=0, sources=()):
    spans = [Span(0, Position(line, 1), Position(line + 1, 1))] if line and sources else []
    return Err(Failure([Diagnostic(Severity.ERROR, "", message, [], None, None, spans)], list(sources)))


def exec_op(command, rootfs):
    root = Mount(rootfs, "", "/", 0, False, MountKind_Bind())
    return Op_Exec(Exec(["/bin/sh", "-c", command], [PATH], "/", "", [], [], "", [], "", [root],
                        Network.SANDBOX, Security.SANDBOX, [], [], []))


def copy_op(context, rootfs, source, dest):
    copy = CopyAction(FileInput_Vertex(context), "/" + source.lstrip("/"), dest, None, 0o755, "", True, True, False,
                      True, False, False, None, [], [], False, [])
    on = FileInput_Vertex(rootfs) if rootfs else FileInput_Scratch()
    return Op_File([FileAction(on, FileAct_Copy(copy), 0)])


class Frontend(exports.Frontend):
    def describe(self):
        return Description("PLUGIN_NAME", "0.1", [])

    def subrequest(self, id, request, files):
        raise failure(f"unsupported request `{id}`")

    def lower(self, request, files):
        data = files.read(request.source_name, 1 << 20)
        sources = [SourceFile(request.source_name, "text", data)]
        platform = (request.platforms or [request.build_platform])[0]
        vertices, rootfs, local, cmd = [], None, None, "/bin/sh"

        def add(op, name):
            vertices.append(Vertex(op, platform, name, [], False, None))
            return Input(len(vertices) - 1, 0)

        for number, line in enumerate(data.decode().splitlines(), 1):
            word, _, rest = line.strip().partition(" ")
            rest = rest.strip()
            if word == "" or word.startswith("#"):
                continue
            elif word == "from":
                try:
                    image = build.resolve_image(f"docker-image://{rest}", platform, "", "")
                except Err as error:
                    raise failure(error.value.value, number, sources)
                rootfs = add(Op_Source(Source(f"docker-image://{image.reference}", [])), f"from {rest}")
            elif word == "run":
                rootfs = add(exec_op(rest, rootfs), f"run {rest}")
            elif word == "copy" and " " in rest:
                source, _, dest = rest.partition(" ")
                local = local or add(Op_Source(Source("local://context", [])), "load the context")
                rootfs = add(copy_op(local, rootfs, source, dest.strip()), f"copy {rest}")
            elif word == "copy":
                raise failure("expected `copy SOURCE DESTINATION`", number, sources)
            elif word == "cmd":
                cmd = rest
            else:
                raise failure(f"unknown word `{word}`: expected from, run, copy or cmd", number, sources)
        config = {"architecture": platform.architecture, "os": platform.os, "config": {"Cmd": [cmd]}}
        config = json.dumps(config, separators=(",", ":")).encode()
        return Lowered(Definition(vertices, []), [Output(platform, rootfs, config, [])], [], [])
