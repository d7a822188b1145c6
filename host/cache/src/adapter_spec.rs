//! Parameters of caches that plugins keep: those of the host, those of a bucket that it opens, and the plugin's own.

use std::collections::BTreeMap;
use std::fmt;

use crate::objects_spec::Objects;
use crate::objects_spec::names;
use crate::spec::Attrs;
use crate::spec::SpecError;

/// What stands before parameters of the bucket.
const BUCKET: &str = "objects.";
/// Parameters of a bucket that are the adapter's affair.
const OF_LAYOUT: [&str; 4] = ["blobs_prefix", "manifests_prefix", "name", "touch_refresh"];

/// A cache that a plugin keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct AdapterPlace {
    /// What the user calls the plugin.
    pub plugin: String,
    /// Names of the cache.
    pub names: Vec<String>,
    /// The plugin's own parameters. Never shown: somebody will put a key among them.
    pub config: Vec<(String, String)>,
    /// The bucket that the host opens for it.
    pub bucket: Option<Objects>,
}

impl fmt::Debug for AdapterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdapterPlace")
            .field("place", &self.place())
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl AdapterPlace {
    /// Returns where it is, for people.
    pub fn place(&self) -> String {
        format!(
            "{}:{}",
            self.plugin,
            self.names.first().map_or("", String::as_str)
        )
    }

    /// Takes all parameters but those in `shared`.
    pub(crate) fn take(
        attrs: &mut Attrs,
        shared: &[&str],
        env: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        let names = names(attrs);
        let mut config = Vec::new();
        let mut bucket = BTreeMap::new();
        for key in attrs.keys() {
            if shared.contains(&key.as_str()) {
                continue;
            }
            let value = attrs.take(&key).unwrap_or_default();
            match key.strip_prefix(BUCKET) {
                Some(key) => drop(bucket.insert(key.to_owned(), value)),
                None => config.push((key, value)),
            }
        }
        Ok(Self {
            plugin: attrs.kind().to_owned(),
            names,
            config,
            bucket: open(bucket, env)?,
        })
    }
}

fn open(
    mut given: BTreeMap<String, String>,
    env: &BTreeMap<String, String>,
) -> Result<Option<Objects>, SpecError> {
    if given.is_empty() {
        return Ok(None);
    }
    let kind = given.remove("type").unwrap_or_default();
    if let Some(key) = given.keys().find(|key| OF_LAYOUT.contains(&key.as_str())) {
        return Err(SpecError::Key {
            kind: format!("{BUCKET}{kind}"),
            key: key.clone(),
            hint: String::new(),
        });
    }
    let mut attrs = Attrs::of(kind, given);
    let objects = match attrs.kind() {
        "s3" => Objects::s3(&mut attrs, env)?,
        "azblob" => Objects::azblob(&mut attrs, env)?,
        other => {
            return Err(SpecError::Value {
                key: format!("{BUCKET}type"),
                value: other.to_owned(),
                expected: "s3 or azblob",
            });
        }
    };
    attrs.finish(attrs.bucket_keys())?;
    Ok(Some(objects))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::CacheFrom;
    use crate::CacheTo;
    use crate::Location;

    fn fields(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn parameters_go_where_they_belong() {
        let text = "type=mine,mode=max,folder=a/b,token=hunter2,name=x;y,objects.type=s3,objects.bucket=b,\
                    objects.region=r,objects.prefix=team/";
        let known = |name: &str| name == "mine";
        let to = CacheTo::parse(&fields(text), &BTreeMap::new(), &known).expect("it is valid");
        assert!(!format!("{to:?}").contains("hunter2"));
        let Location::Adapter(adapter) = to.location else {
            panic!("a plugin")
        };
        let config = [("folder", "a/b"), ("token", "hunter2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(adapter.config, config);
        assert_eq!(adapter.names, ["x", "y"]);
        assert_eq!(adapter.bucket.expect("a bucket").prefix, "team/");
        let from = CacheFrom::parse(&fields("type=mine,timeout=3s"), &BTreeMap::new(), &known);
        let from = from.expect("it is valid");
        assert!(
            matches!(from.location, Location::Adapter(ref a) if a.bucket.is_none() && a.config.is_empty())
        );
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (
                "type=min,folder=a",
                "`min` is not a cache type (did you mean `mine`?) (expected local, registry, inline, s3 or azblob, or \
                 the name of a plugin)",
            ),
            (
                "type=mine,objects.type=gcs,objects.bucket=b",
                "`gcs` is not a value of `objects.type` (expected s3 or azblob)",
            ),
            (
                "type=mine,objects.type=s3,objects.bucket=b,objects.region=r,objects.name=x",
                "cache type `objects.s3` has no parameter `name`",
            ),
            (
                "type=mine,mode=all",
                "`all` is not a value of `mode` (expected min or max)",
            ),
        ];
        for (given, expect) in cases {
            let known = |name: &str| name == "mine";
            let error = CacheTo::parse(&fields(given), &BTreeMap::new(), &known).expect_err(given);
            let text = error.to_string().replace(" (did you mean `mine`?)", "");
            assert_eq!(text, expect.replace(" (did you mean `mine`?)", ""), "{given}");
        }
    }
}
