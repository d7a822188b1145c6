// A scanner for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.

/** Largest file that is read, in bytes. */
const LARGEST = 1n << 20n;

function packages(path, content) {
  const lines = new TextDecoder().decode(content).split("\n").filter((line) => !line.startsWith("#"));
  return lines.map((line) => line.split(/\s+/).filter(Boolean)).filter((words) => words.length).map(
    ([name, version = "", ...licenses]) => ({
      name, version, purl: `pkg:generic/${name}@${version}`, licenses, locations: [path], relations: [], attrs: [],
    }));
}

export const scanner = {
  scan(root) {
    const found = [];
    let after;
    for (;;) {
      const page = root.glob(["**/vendored.txt"], after, 0);
      if (page.length === 0) return { packages: found, documents: [] };
      after = page.at(-1).path;
      for (const entry of page.filter(({ size }) => size <= LARGEST)) {
        found.push(...packages(entry.path, root.read(entry.path, LARGEST)));
      }
    }
  },
};
