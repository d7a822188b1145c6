// A frontend for images of Debian packages, files and a command, written down as a small part of YAML.

import { resolveImage } from "kiln:plugin/build@0.1.0";
import { log } from "kiln:plugin/log@0.1.0";

const ENV = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"];

/** A line of the build file, and what is wrong with it. */
class Wrong extends Error {
  constructor(line, message) {
    super(message);
    this.line = line;
  }
}

function failure(message, line = 0, sources = []) {
  const spans = line && sources.length
    ? [{ source: 0, start: { line, column: 1 }, end: { line: line + 1, column: 1 } }] : [];
  const diagnostic = { severity: "error", code: "", message, detail: [], help: undefined, url: undefined, spans };
  return { diagnostics: [diagnostic], sources };
}

function parse(text) {
  const image = { base: "", baseLine: 1, packages: [], files: [], command: "" };
  let section = "", number = 0;
  for (const line of text.split("\n")) {
    number += 1;
    const item = line.trim(), inside = line.startsWith(" "), colon = item.indexOf(":");
    const [key, value] = [item.slice(0, colon).trim(), item.slice(colon + 1).trim()];
    if (item === "" || item.startsWith("#")) continue;
    if (inside && section === "packages") {
      if (!item.startsWith("- ")) throw new Wrong(number, "expected `- PACKAGE`");
      image.packages.push(item.slice(2).trim());
    } else if (inside && section === "files") {
      if (colon < 0) throw new Wrong(number, "expected `FILE: PATH`");
      image.files.push([key, value]);
    } else if (colon < 0) {
      throw new Wrong(number, "expected `KEY: VALUE`");
    } else {
      if (key === "base") [image.base, image.baseLine] = [value, number];
      else if (key === "command") image.command = value;
      else if (key !== "packages" && key !== "files") {
        throw new Wrong(number, `unknown key \`${key}\`: expected base, packages, files or command`);
      }
      section = key;
    }
  }
  if (image.base === "") throw new Wrong(1, "`base` is missing: it names the image to start from");
  return image;
}

function install(packages, input) {
  const command = `apt-get update && apt-get install --yes --no-install-recommends ${packages}`;
  const root = { input, selector: "", dest: "/", output: 0, readonly: false, kind: { tag: "bind" } };
  return { tag: "exec", val: {
    args: ["/bin/sh", "-c", command], env: ENV, cwd: "/", user: "", proxyEnv: [], extraHosts: [], hostname: "",
    ulimits: [], cgroupParent: "", mounts: [root], network: "sandbox", security: "sandbox", secretEnv: [],
    devices: [], attrs: [],
  } };
}

function copyAction(context, rootfs, [source, dest], index, files) {
  const copy = {
    from: { tag: "vertex", val: context }, src: `/${source}`, dest, owner: undefined, mode: 0o755, modeStr: "",
    followSymlink: true, dirCopyContents: true, attemptUnpack: false, createDestPath: true, allowWildcard: false,
    allowEmptyWildcard: false, timestamp: undefined, includePatterns: [], excludePatterns: [],
    alwaysReplaceExistingDestPaths: false, requiredPaths: [],
  };
  const on = index ? { tag: "action", val: index - 1 } : { tag: "vertex", val: rootfs };
  return { on, act: { tag: "copy", val: copy }, output: index + 1 === files.length ? 0 : undefined };
}

function lower(image, request) {
  const platform = request.platforms[0] ?? request.buildPlatform, vertices = [];
  const add = (op, name) => {
    vertices.push({ op, platform, name, spans: [], ignoreCache: false, group: undefined });
    return { vertex: vertices.length - 1, output: 0 };
  };
  const source = (identifier) => ({ tag: "source", val: { identifier, attrs: [] } });
  let resolved;
  try {
    resolved = resolveImage(`docker-image://${image.base}`, platform, "", "");
  } catch (error) {
    throw new Wrong(image.baseLine, error.payload?.val ?? String(error));
  }
  let rootfs = add(source(`docker-image://${resolved.reference}`), `from ${image.base}`);
  if (image.packages.length) {
    const packages = image.packages.join(" ");
    rootfs = add(install(packages, rootfs), `install ${packages}`);
  }
  if (image.files.length) {
    const context = add(source("local://context"), "load the context"), base = rootfs;
    const actions = image.files.map((file, index) => copyAction(context, base, file, index, image.files));
    rootfs = add({ tag: "file", val: actions }, `copy ${image.files.map(([from]) => from).join(" ")}`);
  }
  const { architecture, os } = platform;
  const config = JSON.stringify({ architecture, os, config: { Cmd: ["/bin/sh", "-c", image.command] } });
  const output = { platform, result: rootfs, config: new TextEncoder().encode(config), attrs: [] };
  return { definition: { vertices, sources: [] }, outputs: [output], diagnostics: [], attrs: [] };
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
    try {
      return lower(parse(new TextDecoder().decode(data)), request);
    } catch (error) {
      if (!(error instanceof Wrong)) {
        // The stack reaches the user this way.
        log("error", `uncaught ${error}\n${error.stack}`);
        throw error;
      }
      throw failure(error.message, error.line, [{ name: request.sourceName, language: "yaml", data }]);
    }
  },
};
