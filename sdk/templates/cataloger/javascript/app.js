// A cataloger for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.

function packages({ path, content }) {
  const lines = new TextDecoder().decode(content).split("\n").filter((line) => !line.startsWith("#"));
  return lines.map((line) => line.split(/\s+/).filter(Boolean)).filter((words) => words.length).map(
    ([name, version = "", ...licenses]) => ({
      name, version, purl: `pkg:generic/${name}@${version}`, licenses, locations: [path], relations: [], attrs: [],
    }));
}

export const cataloger = {
  interests() {
    return [{ id: "vendored", globs: ["**/vendored.txt"], maxSize: 1n << 20n, head: undefined }];
  },

  catalog(files) {
    return files.flatMap(packages);
  },
};
