// A frontend for build files with the lines `from IMAGE`, `run COMMAND`, `copy SOURCE DESTINATION`, `cmd PROGRAM`.

import { resolveImage } from "kiln:plugin/build@0.1.0";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function failure(message, line = 0, sources = []) {
  const spans = line && sources.length
    ? [{ source: 0, start: { line, column: 1 }, end: { line: line + 1, column: 1 } }] : [];
  const diagnostic = { severity: "error", code: "", message, detail: [], help: undefined, url: undefined, spans };
  return { diagnostics: [diagnostic], sources };
}

function execOp(command, rootfs) {
  const root = { input: rootfs, selector: "", dest: "/", output: 0, readonly: false, kind: { tag: "bind" } };
  return { tag: "exec", val: {
    args: ["/bin/sh", "-c", command], env: [PATH], cwd: "/", user: "", proxyEnv: [], extraHosts: [], hostname: "",
    ulimits: [], cgroupParent: "", mounts: [root], network: "sandbox", security: "sandbox", secretEnv: [],
    devices: [], attrs: [],
  } };
}

function copyOp(context, rootfs, source, dest) {
  const copy = {
    from: { tag: "vertex", val: context }, src: "/" + source.replace(/^\/+/, ""), dest, owner: undefined,
    mode: 0o755, modeStr: "", followSymlink: true, dirCopyContents: true, attemptUnpack: false,
    createDestPath: true, allowWildcard: false, allowEmptyWildcard: false, timestamp: undefined,
    includePatterns: [], excludePatterns: [], alwaysReplaceExistingDestPaths: false, requiredPaths: [],
  };
  const on = rootfs ? { tag: "vertex", val: rootfs } : { tag: "scratch" };
  return { tag: "file", val: [{ on, act: { tag: "copy", val: copy }, output: 0 }] };
}

export const frontend = {
  describe() {
    return { name: "PLUGIN_NAME", version: "0.1", subrequests: [] };
  },

  subrequest(id) {
    throw failure(`unsupported request \`${id}\``);
  },

  lower(request, files) {
    const data = files.read(request.sourceName, 1n << 20n);
    const sources = [{ name: request.sourceName, language: "text", data }];
    const platform = request.platforms[0] ?? request.buildPlatform;
    const vertices = [];
    let rootfs, local, cmd = "/bin/sh", number = 0;
    const add = (op, name) => {
      vertices.push({ op, platform, name, spans: [], ignoreCache: false, group: undefined });
      return { vertex: vertices.length - 1, output: 0 };
    };
    for (const line of new TextDecoder().decode(data).split("\n")) {
      number += 1;
      const [, word, rest] = /^(\S*)\s*(.*)$/.exec(line.trim());
      if (word === "" || word.startsWith("#")) continue;
      if (word === "from") {
        let image;
        try {
          image = resolveImage(`docker-image://${rest}`, platform, "", "");
        } catch (error) {
          throw failure(error.payload?.val ?? String(error), number, sources);
        }
        rootfs = add({ tag: "source", val: { identifier: `docker-image://${image.reference}`, attrs: [] } }, `from ${rest}`);
      } else if (word === "run") {
        rootfs = add(execOp(rest, rootfs), `run ${rest}`);
      } else if (word === "copy") {
        const match = /^(\S+) (.*)$/.exec(rest);
        if (!match) throw failure("expected `copy SOURCE DESTINATION`", number, sources);
        local ??= add({ tag: "source", val: { identifier: "local://context", attrs: [] } }, "load the context");
        rootfs = add(copyOp(local, rootfs, match[1], match[2].trim()), `copy ${rest}`);
      } else if (word === "cmd") {
        cmd = rest;
      } else {
        throw failure(`unknown word \`${word}\`: expected from, run, copy or cmd`, number, sources);
      }
    }
    const config = { architecture: platform.architecture, os: platform.os, config: { Cmd: [cmd] } };
    const output = { platform, result: rootfs, config: new TextEncoder().encode(JSON.stringify(config)), attrs: [] };
    return { definition: { vertices, sources: [] }, outputs: [output], diagnostics: [], attrs: [] };
  },
};
