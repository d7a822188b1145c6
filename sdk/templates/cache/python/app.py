"""A cache in a bucket: blobs below `blobs/`, manifests below `manifests/`, all in the folder that the user names."""

from wit_world import exports
from wit_world.exports.cache import GetPlan_Miss, GetPlan_Object, PutPlan_Object, PutPlan_Present
from wit_world.imports import objects
from wit_world.imports.objects import Condition_Always
from wit_world.imports.types import Error_Invalid
from componentize_py_types import Err

# Largest manifest that is read, in bytes.
LARGEST = 4 << 20

# Where everything is kept, with a slash at its end.
folder = ""


def blob_key(digest):
    return f"{folder}blobs/{digest.replace(':', '/')}"


def manifest_key(name):
    return f"{folder}manifests/{name}"


def keys(blobs):
    """Returns the key of each blob, and whether it is there in the right size."""
    bucket = objects.open()
    for blob in blobs:
        key = blob_key(blob.digest)
        there = bucket.head(key)
        yield key, there is not None and there.size == blob.size


class Cache(exports.Cache):
    def open(self, config):
        global folder
        folder = ""
        for attr in config:
            if attr.key != "folder":
                raise Err(Error_Invalid(f"unknown parameter `{attr.key}`: expected folder"))
            folder = attr.value.strip("/") + "/"

    def plan_get(self, blobs):
        return [GetPlan_Object(key) if there else GetPlan_Miss() for key, there in keys(blobs)]

    def plan_put(self, blobs):
        return [PutPlan_Present() if there else PutPlan_Object(key) for key, there in keys(blobs)]

    def get_manifest(self, name):
        return objects.open().get(manifest_key(name), LARGEST)

    def put_manifest(self, name, data):
        objects.open().put(manifest_key(name), data, Condition_Always())

    def commit(self, blobs):
        pass
