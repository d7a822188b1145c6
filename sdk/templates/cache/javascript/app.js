// A cache in a bucket: blobs below `blobs/`, manifests below `manifests/`, all in the folder that the user names.

import { open as openBucket } from "kiln:plugin/objects@0.1.0";

/** Largest manifest that is read, in bytes. */
const LARGEST = 4n << 20n;

/** Where everything is kept, with a slash at its end. */
let folder = "";

const blobKey = (digest) => `${folder}blobs/${digest.replace(":", "/")}`;
const manifestKey = (name) => `${folder}manifests/${name}`;

/** Makes a plan for each blob: `there` of its key when the bucket has it in the right size, else `missing`. */
function plans(blobs, there, missing) {
  const bucket = openBucket();
  return blobs.map(({ digest, size }) => {
    const key = blobKey(digest);
    return bucket.head(key)?.size === size ? there(key) : missing(key);
  });
}

export const cache = {
  open(config) {
    folder = "";
    for (const { key, value } of config) {
      if (key !== "folder") throw { tag: "invalid", val: `unknown parameter \`${key}\`: expected folder` };
      folder = `${value.replace(/^\/+|\/+$/g, "")}/`;
    }
  },

  planGet(blobs) {
    return plans(blobs, (key) => ({ tag: "object", val: key }), () => ({ tag: "miss" }));
  },

  planPut(blobs) {
    return plans(blobs, () => ({ tag: "present" }), (key) => ({ tag: "object", val: key }));
  },

  getManifest(name) {
    return openBucket().get(manifestKey(name), LARGEST);
  },

  putManifest(name, data) {
    openBucket().put(manifestKey(name), data, { tag: "always" });
  },

  commit() {},
};
