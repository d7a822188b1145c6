//! A cache in a bucket: blobs below `blobs/`, manifests below `manifests/`, all in the folder that the user names.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "cache-plugin" });
}

use std::cell::RefCell;

use bindings::exports::kiln::plugin::cache::*;
use bindings::kiln::plugin::log;
use bindings::kiln::plugin::objects;
use bindings::kiln::plugin::objects::Condition;

/// Largest manifest that is read, in bytes.
const LARGEST: u64 = 4 << 20;

thread_local! {
    /// Where everything is kept, with a slash at its end.
    static FOLDER: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn open(config: Vec<Attr>) -> Result<(), Error> {
        // A panic's text reaches the user this way.
        std::panic::set_hook(Box::new(|info| log::log(log::Level::Error, &info.to_string())));
        let pairs = config.iter().map(|attr| (attr.key.as_str(), attr.value.as_str()));
        let folder = folder(pairs).map_err(Error::Invalid)?;
        FOLDER.set(folder);
        Ok(())
    }

    fn plan_get(blobs: Vec<BlobRef>) -> Result<Vec<GetPlan>, Error> {
        let bucket = objects::open()?;
        let plan = |blob: &BlobRef| {
            let key = blob_key(&blob.digest);
            let size = bucket.head(&key)?.map(|object| object.size);
            Ok(if size == Some(blob.size) { GetPlan::Object(key) } else { GetPlan::Miss })
        };
        blobs.iter().map(plan).collect()
    }

    fn plan_put(blobs: Vec<BlobRef>) -> Result<Vec<PutPlan>, Error> {
        let bucket = objects::open()?;
        let plan = |blob: &BlobRef| {
            let key = blob_key(&blob.digest);
            let size = bucket.head(&key)?.map(|object| object.size);
            Ok(if size == Some(blob.size) { PutPlan::Present } else { PutPlan::Object(key) })
        };
        blobs.iter().map(plan).collect()
    }

    fn get_manifest(name: String) -> Result<Option<Vec<u8>>, Error> {
        objects::open()?.get(&manifest_key(&name), LARGEST)
    }

    fn put_manifest(name: String, data: Vec<u8>) -> Result<(), Error> {
        objects::open()?.put(&manifest_key(&name), &data, &Condition::Always).map(|_| ())
    }

    fn commit(_blobs: Vec<BlobRef>) -> Result<(), Error> {
        Ok(())
    }
}

fn folder<'a>(config: impl Iterator<Item = (&'a str, &'a str)>) -> Result<String, String> {
    let mut folder = String::new();
    for (key, value) in config {
        match key {
            "folder" => folder = format!("{}/", value.trim_matches('/')),
            _ => return Err(format!("unknown parameter `{key}`: expected folder")),
        }
    }
    Ok(folder)
}

fn blob_key(digest: &str) -> String {
    FOLDER.with_borrow(|folder| format!("{folder}blobs/{}", digest.replace(':', "/")))
}

fn manifest_key(name: &str) -> String {
    FOLDER.with_borrow(|folder| format!("{folder}manifests/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_below_the_folder() {
        let config = include_str!("../tests/hello/input/config.txt");
        let pairs = config.lines().filter_map(|line| line.split_once('='));
        FOLDER.set(folder(pairs).expect("it is known"));
        assert_eq!(blob_key("sha256:ab"), "team/kiln/blobs/sha256/ab");
        assert_eq!(manifest_key("main"), "team/kiln/manifests/main");
    }

    #[test]
    fn unknown_parameters_are_errors() {
        let wrong = folder([("bucket", "a")].into_iter());
        assert_eq!(wrong, Err("unknown parameter `bucket`: expected folder".to_owned()));
    }
}
