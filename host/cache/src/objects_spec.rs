//! The parameters of `type=s3` and `type=azblob`, with the variables and defaults that BuildKit has for them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kiln_image::Digest;

use crate::spec::Attrs;
use crate::spec::SpecError;
use crate::spec::duration;

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// S3.
    S3,
    /// Azure Blob Storage.
    Azblob,
}

/// A bucket, and where in it caches are.
#[derive(Clone, PartialEq, Eq)]
pub struct Objects {
    pub(crate) kind: ObjectKind,
    /// How the bucket is reached, by `object_store`'s names. Never shown: there are secrets among them.
    pub(crate) options: BTreeMap<String, String>,
    /// Bucket or container, for people.
    bucket: String,
    /// What stands before everything.
    pub(crate) prefix: String,
    /// What stands before a blob's digest.
    pub(crate) blobs: String,
    /// What stands before a cache's name.
    manifests: String,
    /// Names of the cache.
    pub(crate) names: Vec<String>,
    /// Age from which on a blob is written again, so that the bucket's own rules keep it.
    pub(crate) refresh: Option<Duration>,
    /// Pieces of a blob that are sent at a time.
    pub(crate) uploads: usize,
    /// How often a request is sent at most.
    pub(crate) attempts: usize,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("place", &self.place())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Objects {
    /// Returns where it is, for people.
    pub fn place(&self) -> String {
        let kind = match self.kind {
            ObjectKind::S3 => "s3",
            ObjectKind::Azblob => "azblob",
        };
        let name = self.names.first().map_or("", String::as_str);
        format!("{kind}:{}/{}{name}", self.bucket, self.manifests)
    }

    /// Returns the protocol.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    pub(crate) fn blob(&self, digest: &Digest) -> String {
        format!("{}{digest}", self.blobs)
    }

    pub(crate) fn manifest(&self, name: &str) -> String {
        format!("{}{name}", self.manifests)
    }

    /// BuildKit reads the first name of an S3 cache, and all of an Azure one.
    pub(crate) fn names_to_read(&self) -> &[String] {
        match self.kind {
            ObjectKind::S3 => &self.names[..self.names.len().min(1)],
            ObjectKind::Azblob => &self.names,
        }
    }

    /// Parameters of `type=s3`.
    pub(crate) const S3: &[&str] = &[
        "bucket",
        "region",
        "prefix",
        "blobs_prefix",
        "manifests_prefix",
        "name",
        "touch_refresh",
        "endpoint_url",
        "use_path_style",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "upload_parallelism",
        "retry_mode",
        "retry_max_attempts",
        "disable_accept_encoding",
    ];
    /// Parameters of `type=azblob`.
    pub(crate) const AZBLOB: &[&str] = &[
        "account_url",
        "account_name",
        "container",
        "prefix",
        "blobs_prefix",
        "manifests_prefix",
        "name",
        "secret_access_key",
    ];

    pub(crate) fn s3(attrs: &mut Attrs, env: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let mut options = of_environment(env, "AWS_");
        let bucket = attrs.given_or("bucket", env, "AWS_BUCKET", Self::S3)?;
        let region = attrs.given_or("region", env, "AWS_REGION", Self::S3)?;
        let path_style = attrs.flag("use_path_style")?.unwrap_or_default();
        let mut set = |key: &str, value: String| drop(options.insert(key.to_owned(), value));
        match attrs.take("endpoint_url") {
            Some(endpoint) => {
                set("aws_allow_http", endpoint.starts_with("http://").to_string());
                let endpoint = match path_style {
                    true => endpoint,
                    false => endpoint.replacen("://", &format!("://{bucket}."), 1),
                };
                set("aws_endpoint", endpoint);
                set("aws_virtual_hosted_style_request", (!path_style).to_string());
            }
            None => set("aws_virtual_hosted_style_request", true.to_string()),
        }
        set("aws_bucket", bucket.clone());
        set("aws_region", region);
        for (key, option) in [
            ("access_key_id", "aws_access_key_id"),
            ("secret_access_key", "aws_secret_access_key"),
            ("session_token", "aws_session_token"),
        ] {
            if let Some(value) = attrs.take(key) {
                set(option, value);
            }
        }
        let prefix = attrs.take("prefix").unwrap_or_default();
        let part = |attrs: &mut Attrs, key: &str, default: &str| {
            format!(
                "{prefix}{}",
                attrs.take(key).unwrap_or_else(|| default.to_owned())
            )
        };
        let refresh = attrs.value("touch_refresh", "a duration such as 24h", duration)?;
        let number = |text: &str| text.parse().ok().filter(|number| (1..=64).contains(number));
        attrs.value("retry_mode", "standard", |mode| {
            (mode == "standard").then_some(())
        })?;
        // Answers are asked for as they are, in any case.
        attrs.flag("disable_accept_encoding")?;
        Ok(Self {
            kind: ObjectKind::S3,
            bucket,
            prefix: prefix.clone(),
            blobs: part(attrs, "blobs_prefix", "blobs/"),
            manifests: part(attrs, "manifests_prefix", "manifests/"),
            names: names(attrs),
            refresh: Some(refresh.unwrap_or(Duration::from_secs(24 * 60 * 60))),
            uploads: attrs
                .value("upload_parallelism", "a number from 1 to 64", number)?
                .unwrap_or(4),
            attempts: attrs
                .value("retry_max_attempts", "a number from 1 to 64", number)?
                .unwrap_or(3),
            options,
        })
    }

    pub(crate) fn azblob(attrs: &mut Attrs, env: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let mut options = of_environment(env, "AZURE_");
        let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let url = attrs.given_or(
            "account_url",
            env,
            "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",
            Self::AZBLOB,
        )?;
        let first_label = || {
            let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            host.split(['.', ':', '/']).next().unwrap_or_default().to_owned()
        };
        let account = attrs
            .take("account_name")
            .or_else(|| variable("BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME"))
            .unwrap_or_else(first_label);
        let container = attrs
            .take("container")
            .or_else(|| variable("BUILDKIT_AZURE_STORAGE_CONTAINER"))
            .unwrap_or_else(|| "buildkit-cache".to_owned());
        let mut set = |key: &str, value: String| drop(options.insert(key.to_owned(), value));
        set("azure_allow_http", url.starts_with("http://").to_string());
        set("azure_storage_endpoint", url.trim_end_matches('/').to_owned());
        set("azure_storage_account_name", account.clone());
        set("azure_container_name", container.clone());
        if let Some(key) = attrs.take("secret_access_key") {
            set("azure_storage_account_key", key);
        }
        let prefix = attrs
            .take("prefix")
            .or_else(|| variable("BUILDKIT_AZURE_STORAGE_PREFIX"))
            .unwrap_or_default();
        let mut part = |key: &str, default: &str| {
            let part = attrs.take(key).unwrap_or_else(|| default.to_owned());
            folder(&format!("{prefix}/{part}"))
        };
        let (blobs, manifests) = (
            part("blobs_prefix", "blobs"),
            part("manifests_prefix", "manifests"),
        );
        Ok(Self {
            kind: ObjectKind::Azblob,
            bucket: format!("{account}/{container}"),
            prefix: folder(&prefix),
            blobs,
            manifests,
            names: names(attrs),
            refresh: None,
            uploads: 4,
            attempts: 3,
            options,
        })
    }
}

/// Returns what the environment says of a cloud, by the names of `object_store`.
fn of_environment(env: &BTreeMap<String, String>, cloud: &str) -> BTreeMap<String, String> {
    let named = env
        .iter()
        .filter(|(name, value)| name.starts_with(cloud) && !value.is_empty());
    named
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect()
}

/// Returns a path without doubled slashes and with one at its end; nothing stays nothing.
fn folder(path: &str) -> String {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.map(|name| format!("{name}/")).collect()
}

/// Takes the names of a cache.
pub(crate) fn names(attrs: &mut Attrs) -> Vec<String> {
    let given = attrs.take("name").unwrap_or_else(|| "buildkit".to_owned());
    given
        .split(';')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
