//! `--cache-to` and `--cache-from`: types and parameters as BuildKit has them; what is unknown is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kiln_image::Compression;
use kiln_image::Digest;
use kiln_image::Reference;

use crate::adapter_spec::AdapterPlace;
use crate::manifest::ManifestForm;
use crate::mounts_spec;
use crate::mounts_spec::MOUNTS;
use crate::mounts_spec::MountsTo;
use crate::objects_spec::Objects;

/// How long a cache is waited for where the user does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which results are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Those whose layers are part of the build's result.
    #[default]
    Min,
    /// All.
    Max,
}

/// Where a cache is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Local {
        /// The directory.
        path: PathBuf,
        /// The cache's name in it.
        tag: String,
        /// The cache's manifest, in place of the name.
        digest: Option<Digest>,
        /// Whether blobs that no cache names are removed after a write.
        reset: bool,
    },
    /// A registry.
    Registry {
        /// Repository and tag.
        reference: Box<Reference>,
        /// Whether it may speak plain HTTP or have a certificate that nobody vouches for.
        insecure: bool,
    },
    /// A bucket.
    Objects(Box<Objects>),
    /// Wherever a plugin keeps it.
    Adapter(Box<AdapterPlace>),
    /// Inside the image itself.
    Inline,
}

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    /// Where it goes.
    pub location: Location,
    /// Which results are exported.
    pub mode: Mode,
    /// Whether the build goes on when the export fails.
    pub ignore_error: bool,
    /// Compression of layers that have no blob yet.
    pub compression: Compression,
    /// Its level.
    pub level: Option<i32>,
    /// Whether layers of another compression are compressed again.
    pub force_compression: bool,
    /// Which manifest is written.
    pub form: ManifestForm,
    /// Whether contents of cache mounts are exported as well.
    pub mounts: Option<MountsTo>,
}

/// One `--cache-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFrom {
    /// Where it is.
    pub location: Location,
    /// How long it is waited for.
    pub timeout: Duration,
    /// Whether cache mounts that are not there begin with what it has of them.
    pub mounts: Option<MountsTo>,
}

/// A `--cache-to` or `--cache-from` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A field is not `key=value`.
    #[error("invalid value `{0}` (expected `type=NAME[,KEY=VALUE]…` or an image name)")]
    Field(String),
    /// The type is not known.
    #[error("`{name}` is not a cache type{hint} (expected {expected})")]
    Type {
        /// What was given.
        name: String,
        /// What may have been meant.
        hint: String,
        /// What there is.
        expected: &'static str,
    },
    /// The type has no such parameter.
    #[error("cache type `{kind}` has no parameter `{key}`{hint}")]
    Key {
        /// The type.
        kind: String,
        /// The parameter.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A parameter is given twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A parameter that the type needs.
    #[error("{key} is required for {kind} cache")]
    Missing {
        /// The type.
        kind: String,
        /// The parameter.
        key: &'static str,
    },
    /// A value that the parameter does not take.
    #[error("`{value}` is not a value of `{key}` (expected {expected})")]
    Value {
        /// The parameter.
        key: String,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

const TO_TYPES: &[&str] = &["local", "registry", "inline", "s3", "azblob"];
const FROM_TYPES: &[&str] = &["local", "registry", "s3", "azblob"];

impl CacheTo {
    /// Reads the fields of one `--cache-to`. `is_plugin` tells whether a type is the name of a plugin.
    ///
    /// # Errors
    /// When they say nothing that can be done.
    pub fn parse(
        fields: &[String],
        env: &BTreeMap<String, String>,
        is_plugin: &dyn Fn(&str) -> bool,
    ) -> Result<Self, SpecError> {
        let mut attrs = Attrs::read(fields, TO_TYPES, is_plugin)?;
        let location = match attrs.kind.as_str() {
            "local" => Location::Local {
                path: attrs.required("dest")?.into(),
                tag: attrs.take("tag").unwrap_or_else(|| "latest".to_owned()),
                digest: None,
                reset: attrs.flag("reset")?.unwrap_or_default(),
            },
            "registry" => attrs.registry()?,
            "s3" => Location::Objects(Box::new(Objects::s3(&mut attrs, env)?)),
            "azblob" => Location::Objects(Box::new(Objects::azblob(&mut attrs, env)?)),
            "inline" => Location::Inline,
            _ => {
                let shared = [&["mode", "ignore-error"], MOUNTS].concat();
                Location::Adapter(Box::new(AdapterPlace::take(&mut attrs, &shared, env)?))
            }
        };
        let mode = attrs.mode(&location)?;
        let ignore_error = attrs.flag("ignore-error")?.unwrap_or_default();
        let mut to = Self {
            location,
            mode,
            ignore_error,
            compression: Compression::Gzip,
            level: None,
            force_compression: false,
            form: ManifestForm::Image,
            mounts: None,
        };
        let has_manifest = matches!(to.location, Location::Local { .. } | Location::Registry { .. });
        if has_manifest {
            to.compression = attrs.compression()?;
            to.level = attrs.level()?;
            to.force_compression = attrs.flag("force-compression")?.unwrap_or_default();
            to.form = attrs.form()?;
        }
        if to.location != Location::Inline {
            to.mounts = mounts_spec::mounts(&mut attrs, false)?;
        }
        if to.mounts.is_some() && to.location.of_mounts().is_none() {
            return Err(SpecError::Value {
                key: "mounts".to_owned(),
                value: "true".to_owned(),
                expected: "false: there is no name beside that of the cache",
            });
        }
        let own: &[&str] = match to.location {
            Location::Local { .. } => &["dest", "tag", "reset"],
            Location::Registry { .. } => &["ref", "registry.insecure"],
            Location::Objects(_) => attrs.bucket_keys(),
            Location::Adapter(_) | Location::Inline => &[],
        };
        let shared: &[&str] = match has_manifest {
            false => &["mode", "ignore-error"],
            true => &[
                "mode",
                "ignore-error",
                "compression",
                "compression-level",
                "force-compression",
                "oci-mediatypes",
                "image-manifest",
            ],
        };
        let mounts: &[&str] = match to.location {
            Location::Inline => &[],
            _ => MOUNTS,
        };
        attrs.finish(&[own, shared, mounts].concat())?;
        Ok(to)
    }
}

impl CacheFrom {
    /// Reads the fields of one `--cache-from`. `is_plugin` tells whether a type is the name of a plugin.
    ///
    /// # Errors
    /// When they say nothing that can be done.
    pub fn parse(
        fields: &[String],
        env: &BTreeMap<String, String>,
        is_plugin: &dyn Fn(&str) -> bool,
    ) -> Result<Self, SpecError> {
        let mut attrs = Attrs::read(fields, FROM_TYPES, is_plugin)?;
        let (location, own): (_, &[&str]) = match attrs.kind.as_str() {
            "local" => {
                let location = Location::Local {
                    path: attrs.required("src")?.into(),
                    tag: attrs.take("tag").unwrap_or_else(|| "latest".to_owned()),
                    digest: attrs.digest()?,
                    reset: false,
                };
                (location, &["src", "tag", "digest"])
            }
            "s3" => {
                let objects = Objects::s3(&mut attrs, env)?;
                (Location::Objects(Box::new(objects)), Objects::S3)
            }
            "azblob" => {
                let objects = Objects::azblob(&mut attrs, env)?;
                (Location::Objects(Box::new(objects)), Objects::AZBLOB)
            }
            "registry" => (attrs.registry()?, &["ref", "registry.insecure"]),
            _ => {
                let shared = [&["timeout"], MOUNTS].concat();
                let adapter = AdapterPlace::take(&mut attrs, &shared, env)?;
                (Location::Adapter(Box::new(adapter)), &[])
            }
        };
        let timeout = attrs.timeout()?;
        let mounts = mounts_spec::mounts(&mut attrs, true)?;
        attrs.finish(&[own, &["timeout"], MOUNTS].concat())?;
        Ok(Self {
            location,
            timeout,
            mounts,
        })
    }
}

/// Parameters that were not looked at yet.
pub(crate) struct Attrs {
    kind: String,
    attrs: BTreeMap<String, String>,
}

impl Attrs {
    pub(crate) fn of(kind: String, attrs: BTreeMap<String, String>) -> Self {
        Self { kind, attrs }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the names of the parameters that were not taken yet.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.attrs.keys().cloned().collect()
    }

    fn read(
        fields: &[String],
        types: &'static [&'static str],
        is_plugin: &dyn Fn(&str) -> bool,
    ) -> Result<Self, SpecError> {
        if let [reference] = fields
            && !reference.contains('=')
        {
            let attrs = [("ref".to_owned(), reference.clone())].into_iter().collect();
            let kind = "registry".to_owned();
            return Ok(Self { kind, attrs });
        }
        let mut attrs = BTreeMap::new();
        for field in fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| SpecError::Field(field.clone()))?;
            let key = key.trim().to_lowercase();
            if attrs.insert(key.clone(), value.to_owned()).is_some() {
                return Err(SpecError::Twice(key));
            }
        }
        let kind = attrs.remove("type").unwrap_or_else(|| "registry".to_owned());
        if types.contains(&kind.as_str()) || is_plugin(&kind) {
            return Ok(Self { kind, attrs });
        }
        Err(SpecError::Type {
            hint: hint(&kind, types),
            name: kind,
            expected: if types.contains(&"inline") {
                "local, registry, inline, s3 or azblob, or the name of a plugin"
            } else {
                "local, registry, s3 or azblob, or the name of a plugin"
            },
        })
    }

    pub(crate) fn bucket_keys(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "s3" => Objects::S3,
            _ => Objects::AZBLOB,
        }
    }

    /// Returns a parameter, or else a variable; `known` is what the type takes.
    pub(crate) fn given_or(
        &mut self,
        key: &'static str,
        env: &BTreeMap<String, String>,
        variable: &str,
        known: &[&str],
    ) -> Result<String, SpecError> {
        let set = env.get(variable).filter(|value| !value.is_empty());
        if let Some(value) = self.take(key).or_else(|| set.cloned()) {
            return Ok(value);
        }
        let kind = self.kind.clone();
        self.finish(&[known, &["mode", "ignore-error", "timeout"], MOUNTS].concat())?;
        Err(SpecError::Missing { kind, key })
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.attrs.remove(key).filter(|value| !value.is_empty())
    }

    fn required(&mut self, key: &'static str) -> Result<String, SpecError> {
        let kind = self.kind.clone();
        let missing = SpecError::Missing { kind, key };
        if let Some(value) = self.take(key) {
            return Ok(value);
        }
        // `src` where `dest` is meant is worth a word.
        self.finish(&[key])?;
        Err(missing)
    }

    pub(crate) fn value<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(SpecError::Value {
                key: key.to_owned(),
                value,
                expected,
            }),
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, SpecError> {
        self.value(key, "true or false", |value| match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        })
    }

    fn registry(&mut self) -> Result<Location, SpecError> {
        let reference = self.required("ref")?;
        let read = reference.parse().map_err(|_| SpecError::Value {
            key: "ref".to_owned(),
            value: reference,
            expected: "an image name",
        });
        Ok(Location::Registry {
            reference: Box::new(read?),
            insecure: self.flag("registry.insecure")?.unwrap_or_default(),
        })
    }

    fn mode(&mut self, location: &Location) -> Result<Mode, SpecError> {
        let (expected, only_min) = match location {
            Location::Inline => ("min: what is inside an image has the image's layers", true),
            _ => ("min or max", false),
        };
        let mode = self.value("mode", expected, |value| match value {
            "min" => Some(Mode::Min),
            "max" if !only_min => Some(Mode::Max),
            _ => None,
        })?;
        Ok(mode.unwrap_or_default())
    }

    fn compression(&mut self) -> Result<Compression, SpecError> {
        let read = self.value("compression", "gzip, zstd or uncompressed", |value| match value {
            "gzip" => Some(Compression::Gzip),
            "zstd" => Some(Compression::Zstd),
            "uncompressed" => Some(Compression::None),
            _ => None,
        })?;
        Ok(read.unwrap_or_default())
    }

    fn level(&mut self) -> Result<Option<i32>, SpecError> {
        self.value("compression-level", "a number from 0 to 22", |value| {
            value.parse().ok().filter(|level| (0..=22).contains(level))
        })
    }

    fn form(&mut self) -> Result<ManifestForm, SpecError> {
        let oci = self.flag("oci-mediatypes")?.unwrap_or(true);
        let image = self.flag("image-manifest")?;
        match (oci, image) {
            (true, Some(true) | None) => Ok(ManifestForm::Image),
            (true, Some(false)) => Ok(ManifestForm::Index),
            (false, Some(false) | None) => Ok(ManifestForm::DockerList),
            (false, Some(true)) => Err(SpecError::Value {
                key: "image-manifest".to_owned(),
                value: "true".to_owned(),
                expected: "false with `oci-mediatypes=false`",
            }),
        }
    }

    fn digest(&mut self) -> Result<Option<Digest>, SpecError> {
        self.value("digest", "sha256:…", |value| value.parse().ok())
    }

    fn timeout(&mut self) -> Result<Duration, SpecError> {
        let read = self.value("timeout", "a duration such as 30s or 10m", duration)?;
        Ok(read.unwrap_or(PATIENCE))
    }

    pub(crate) fn finish(&self, known: &[&str]) -> Result<(), SpecError> {
        let Some(key) = self.attrs.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        Err(SpecError::Key {
            kind: self.kind.clone(),
            key: key.clone(),
            hint: hint(key, known),
        })
    }
}

/// Reads a duration as Go writes them: `1h30m`, `1.5s`, `300ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(value * unit).ok()?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Returns ` (did you mean …?)` when something known is near.
fn hint(given: &str, known: &[&str]) -> String {
    let meant = match given {
        "path" | "dir" | "src" | "dest" | "output" => ["dest", "src", "ref"]
            .into_iter()
            .find(|key| known.contains(key) && *key != given),
        _ => None,
    };
    let nearest = known
        .iter()
        .map(|name| (distance(given, name), *name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .min();
    match meant.or(nearest.map(|(_, name)| name)) {
        Some(name) => format!(" (did you mean `{name}`?)"),
        None => String::new(),
    }
}

/// How many letters have to change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn defaults_are_buildkits() {
        let to =
            CacheTo::parse(&fields("type=local,dest=/c"), &BTreeMap::new(), &|_| false).expect("it is valid");
        assert_eq!(to.mode, Mode::Min);
        assert_eq!(to.form, ManifestForm::Image);
        assert_eq!(to.compression, Compression::Gzip);
        let Location::Local { tag, reset, .. } = to.location else {
            panic!("a directory")
        };
        assert_eq!((tag.as_str(), reset), ("latest", false));
        let from = CacheFrom::parse(&fields("example.com/app:cache"), &BTreeMap::new(), &|_| false)
            .expect("a bare name is a registry's");
        assert!(matches!(
            from.location,
            Location::Registry { insecure: false, .. }
        ));
        assert_eq!(from.timeout, PATIENCE);
    }

    #[test]
    fn mistakes_are_named() {
        let to: &[(&str, &str)] = &[
            (
                "type=locl,dest=/c",
                "`locl` is not a cache type (did you mean `local`?) (expected local, registry, inline, s3 or azblob, or the name of a plugin)",
            ),
            ("type=local", "dest is required for local cache"),
            (
                "type=local,src=/c",
                "cache type `local` has no parameter `src` (did you mean `dest`?)",
            ),
            (
                "type=local,dest=/c,mod=max",
                "cache type `local` has no parameter `mod` (did you mean `mode`?)",
            ),
            (
                "type=local,dest=/c,mode=full",
                "`full` is not a value of `mode` (expected min or max)",
            ),
            ("type=local,dest=/c,dest=/d", "`dest` is given twice"),
            (
                "type=inline,compression=zstd",
                "cache type `inline` has no parameter `compression`",
            ),
            ("type=registry,ref=", "ref is required for registry cache"),
            (
                "type=local,dest",
                "invalid value `dest` (expected `type=NAME[,KEY=VALUE]…` or an image name)",
            ),
            (
                "type=local,dest=/c,oci-mediatypes=false,image-manifest=true",
                "`true` is not a value of `image-manifest` (expected false with `oci-mediatypes=false`)",
            ),
        ];
        for (given, expect) in to {
            let error = CacheTo::parse(&fields(given), &BTreeMap::new(), &|_| false).expect_err(given);
            assert_eq!(error.to_string(), *expect, "{given}");
        }
        let error = CacheFrom::parse(
            &fields("type=local,src=/c,timeout=soon"),
            &BTreeMap::new(),
            &|_| false,
        )
        .expect_err("no duration");
        assert_eq!(
            error.to_string(),
            "`soon` is not a value of `timeout` (expected a duration such as 30s or 10m)"
        );
    }

    fn variables() -> BTreeMap<String, String> {
        let set = [
            ("AWS_BUCKET", "of-env"),
            ("AWS_REGION", "eu-1"),
            ("AWS_ACCESS_KEY_ID", "hunter"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
            (
                "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",
                "https://acct.blob.core.windows.net",
            ),
            ("BUILDKIT_AZURE_STORAGE_PREFIX", "team"),
        ];
        set.into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn buckets_are_laid_out_as_buildkit_does() {
        // Clients of buckets take the program's; whoever was first is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let digest = Digest::of("x");
        let cases = [
            (
                "type=s3",
                "s3:of-env/manifests/buildkit",
                format!("blobs/{digest}"),
            ),
            (
                "type=s3,bucket=b,prefix=p/,name=one;two",
                "s3:b/p/manifests/one",
                format!("p/blobs/{digest}"),
            ),
            (
                "type=s3,blobs_prefix=x",
                "s3:of-env/manifests/buildkit",
                format!("x{digest}"),
            ),
            (
                "type=azblob",
                "azblob:acct/buildkit-cache/team/manifests/buildkit",
                format!("team/blobs/{digest}"),
            ),
            (
                "type=azblob,account_url=http://127.0.0.1:1/a,account_name=a,prefix=/p/,blobs_prefix=x//y,container=c",
                "azblob:a/c/p/manifests/buildkit",
                format!("p/x/y/{digest}"),
            ),
        ];
        for (given, place, blob) in cases {
            let to = CacheTo::parse(&fields(given), &variables(), &|_| false).expect(given);
            let Location::Objects(objects) = &to.location else {
                panic!("{given}")
            };
            assert_eq!(objects.place(), place, "{given}");
            assert_eq!(objects.blob(&digest), blob, "{given}");
            assert!(!format!("{to:?}").contains("hunter2"));
            let opened = crate::ObjectBackend::open(objects);
            assert!(opened.is_ok(), "{given}: {opened:?}");
        }
    }

    #[test]
    fn mistakes_about_buckets_are_named() {
        let cases = [
            (
                "type=s3,buckt=b",
                "cache type `s3` has no parameter `buckt` (did you mean `bucket`?)",
            ),
            ("type=s3,region=r", "bucket is required for s3 cache"),
            ("type=azblob", "account_url is required for azblob cache"),
            (
                "type=azblob,account-url=x",
                "cache type `azblob` has no parameter `account-url` (did you mean `account_url`?)",
            ),
            (
                "type=s3,bucket=b,region=r,compression=zstd",
                "cache type `s3` has no parameter `compression`",
            ),
            (
                "type=s3,bucket=b,region=r,upload_parallelism=0",
                "`0` is not a value of `upload_parallelism` (expected a number from 1 to 64)",
            ),
        ];
        for (given, expect) in cases {
            let error = CacheTo::parse(&fields(given), &BTreeMap::new(), &|_| false).expect_err(given);
            assert_eq!(error.to_string(), expect, "{given}");
        }
    }

    #[test]
    fn durations_are_gos() {
        let cases = [
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("300ms", Some(0.3)),
            ("5", None),
            ("", None),
            ("x", None),
        ];
        for (text, expect) in cases {
            assert_eq!(duration(text).map(|d| d.as_secs_f64()), expect, "{text}");
        }
    }
}
