//! What the user asks for with `--output`.

use std::path::PathBuf;
use std::str::FromStr;

use kiln_image::Compression;
use kiln_image::Platform;

/// Where an archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, or a directory where one is written.
    Path(PathBuf),
}

/// Which document an annotation goes to (BuildKit's `annotation-TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnnotationLevel {
    /// The image manifest.
    Manifest,
    /// The manifest's descriptor in an index.
    ManifestDescriptor,
    /// The index.
    Index,
    /// The index's descriptor in an OCI layout.
    IndexDescriptor,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it goes.
    pub level: AnnotationLevel,
    /// Only for this platform.
    pub platform: Option<Platform>,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// What `SOURCE_DATE_EPOCH` does to file times in the layers that the build made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rewrite {
    /// Later times become the epoch.
    #[default]
    Clamp,
    /// The same, and each layer's descriptor says so, as BuildKit's `rewrite-timestamp=true` has it.
    Marked,
    /// Nothing.
    Keep,
}

/// How an image is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Compression of layers.
    pub compression: Compression,
    /// Level of compression; the compressor's default without one.
    pub level: Option<i32>,
    /// Compress layers of base images again when they have another compression.
    pub force_compression: bool,
    /// OCI media types; Docker's otherwise.
    pub oci_media_types: bool,
    /// What `SOURCE_DATE_EPOCH` does to file times in layers.
    pub rewrite_timestamp: Rewrite,
    /// Attestation manifests are OCI artifacts; images of an unknown platform otherwise.
    pub oci_artifact: bool,
    /// `SOURCE_DATE_EPOCH` of this output; the build's own without one.
    pub epoch: Option<i64>,
    /// Annotations.
    pub annotations: Vec<Annotation>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            compression: Compression::Gzip,
            level: None,
            force_compression: false,
            oci_media_types: true,
            rewrite_timestamp: Rewrite::Clamp,
            oci_artifact: true,
            epoch: None,
            annotations: Vec::new(),
        }
    }
}

/// An image for the local image store, a registry, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the attributes are BuildKit's")]
pub struct ImageOutput {
    /// Names; those of `--tag` are added.
    pub names: Vec<String>,
    /// Push it under its names.
    pub push: bool,
    /// Push it by its digest, without a tag.
    pub push_by_digest: bool,
    /// The registry may speak plain HTTP or have a certificate that nobody vouches for.
    pub insecure: bool,
    /// Keep it in the local image store.
    pub store: bool,
    /// How it is written.
    pub format: Format,
}

/// What `type=local` does with files that are already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalMode {
    /// They stay.
    #[default]
    Copy,
    /// Those that the result does not have are removed.
    Delete,
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `type=image` and `type=registry`.
    Image(ImageOutput),
    /// `type=oci`.
    Oci {
        /// Where it goes.
        dest: Destination,
        /// An archive; a layout directory otherwise.
        tar: bool,
        /// Names.
        names: Vec<String>,
        /// How it is written.
        format: Format,
    },
    /// `type=docker`: an archive that `docker load` reads, or the local image store without a destination.
    Docker {
        /// Where it goes; the local image store without one.
        dest: Option<Destination>,
        /// An archive; a layout directory otherwise.
        tar: bool,
        /// Names.
        names: Vec<String>,
        /// How it is written.
        format: Format,
    },
    /// `type=tar`: the root file system as an archive.
    Tar {
        /// Where it goes.
        dest: Destination,
        /// `SOURCE_DATE_EPOCH` of this output.
        epoch: Option<i64>,
    },
    /// `type=local`: the root file system as a directory.
    Local {
        /// The directory.
        dest: PathBuf,
        /// A directory for each platform; by default when there are several.
        platform_split: Option<bool>,
        /// What happens to files that are there.
        mode: LocalMode,
        /// `SOURCE_DATE_EPOCH` of this output.
        epoch: Option<i64>,
    },
    /// `type=cacheonly`: nothing is written.
    CacheOnly,
}

impl Output {
    /// Returns what asks for the image format, when an image is written.
    pub fn format(&self) -> Option<&Format> {
        match self {
            Self::Image(image) => Some(&image.format),
            Self::Oci { format, .. } | Self::Docker { format, .. } => Some(format),
            Self::Tar { .. } | Self::Local { .. } | Self::CacheOnly => None,
        }
    }

    /// Returns the image format for changes.
    pub fn format_mut(&mut self) -> Option<&mut Format> {
        match self {
            Self::Image(image) => Some(&mut image.format),
            Self::Oci { format, .. } | Self::Docker { format, .. } => Some(format),
            Self::Tar { .. } | Self::Local { .. } | Self::CacheOnly => None,
        }
    }
}

/// An `--output` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// A field is not `key=value`.
    #[error("invalid value `{0}` (expected `type=NAME[,KEY=VALUE]…` or a directory)")]
    Field(String),
    /// Quotes do not pair up.
    #[error("`{0}` has an open quote")]
    Quote(String),
    /// No `type`.
    #[error("type is required for output")]
    NoType,
    /// An unknown `type`.
    #[error("`{0}` is not an output type (expected image, registry, oci, docker, tar, local or cacheonly)")]
    Type(String),
    /// An attribute that this type does not have.
    #[error("output type `{kind}` has no attribute `{key}`{hint}")]
    Key {
        /// The type.
        kind: String,
        /// The attribute.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A value that the attribute does not take.
    #[error("`{value}` is not a value of `{key}` (expected {expected})")]
    Value {
        /// The attribute.
        key: String,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// `dest` is missing.
    #[error("dest is required for {0} output")]
    NoDest(&'static str),
    /// Something BuildKit has and kiln does not have yet.
    #[error("{0} is not supported yet")]
    NotYet(&'static str),
}

impl FromStr for Output {
    type Err = OutputError;

    /// Reads `type=…,key=value,…`, `-` (a tar on standard output) or a directory.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields = crate::split_csv(text).ok_or_else(|| OutputError::Quote(text.to_owned()))?;
        if let [only] = fields.as_slice()
            && !only.contains('=')
        {
            return Ok(match only.as_str() {
                "-" => Self::Tar {
                    dest: Destination::Stdout,
                    epoch: None,
                },
                dest => Self::Local {
                    dest: dest.into(),
                    platform_split: None,
                    mode: LocalMode::Copy,
                    epoch: None,
                },
            });
        }
        let mut kind = None;
        let mut attrs = Vec::new();
        for field in &fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| OutputError::Field(field.clone()))?;
            match key.trim().to_lowercase().as_str() {
                "type" => kind = Some(value.to_owned()),
                key if key.starts_with("annotation") => attrs.push((field_key(field), value.to_owned())),
                key => attrs.push((key.to_owned(), value.to_owned())),
            }
        }
        let kind = kind.ok_or(OutputError::NoType)?;
        Attrs { kind, attrs }.output()
    }
}

/// Annotation keys keep their case.
fn field_key(field: &str) -> String {
    field
        .split_once('=')
        .map_or(field, |(key, _)| key)
        .trim()
        .to_owned()
}

struct Attrs {
    kind: String,
    attrs: Vec<(String, String)>,
}

impl Attrs {
    fn output(mut self) -> Result<Output, OutputError> {
        let output = match self.kind.as_str() {
            "image" => Output::Image(self.image(false)?),
            "registry" => Output::Image(self.image(true)?),
            "oci" => Output::Oci {
                dest: self.destination().ok_or(OutputError::NoDest("oci"))?,
                tar: self.flag("tar")?.unwrap_or(true),
                names: self.names(),
                format: self.format()?,
            },
            "docker" => Output::Docker {
                dest: self.destination(),
                tar: self.flag("tar")?.unwrap_or(true),
                names: self.names(),
                format: self.format()?,
            },
            "tar" => {
                let dest = self.destination().unwrap_or(Destination::Stdout);
                Output::Tar {
                    dest,
                    epoch: self.epoch()?,
                }
            }
            "local" => match self.destination() {
                Some(Destination::Path(dest)) => Output::Local {
                    dest,
                    platform_split: self.flag("platform-split")?,
                    mode: self.local_mode()?,
                    epoch: self.epoch()?,
                },
                Some(Destination::Stdout) => {
                    let (key, value) = ("dest".to_owned(), "-".to_owned());
                    return Err(OutputError::Value {
                        key,
                        value,
                        expected: "a directory",
                    });
                }
                None => return Err(OutputError::NoDest("local")),
            },
            "cacheonly" => Output::CacheOnly,
            other => return Err(OutputError::Type(other.to_owned())),
        };
        match self.attrs.into_iter().next() {
            None => Ok(output),
            Some((key, _)) => {
                let hint = match key.as_str() {
                    "output" | "path" | "file" => " (did you mean `dest`?)",
                    "tag" | "tags" => " (did you mean `name`?)",
                    "level" => " (did you mean `compression-level`?)",
                    _ => "",
                };
                Err(OutputError::Key {
                    kind: self.kind,
                    key,
                    hint: hint.to_owned(),
                })
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.attrs.iter().rposition(|(k, _)| k == key)?;
        let (_, value) = self.attrs.remove(at);
        self.attrs.retain(|(k, _)| k != key);
        Some(value)
    }

    /// Reads a Go boolean; an empty value is true.
    fn flag(&mut self, key: &str) -> Result<Option<bool>, OutputError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_str() {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(OutputError::Value {
                key: key.to_owned(),
                value,
                expected: "true or false",
            }),
        }
    }

    fn destination(&mut self) -> Option<Destination> {
        let dest = self.take("dest").filter(|dest| !dest.is_empty())?;
        Some(if dest == "-" {
            Destination::Stdout
        } else {
            Destination::Path(dest.into())
        })
    }

    fn names(&mut self) -> Vec<String> {
        let names = self.take("name").unwrap_or_default();
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn image(&mut self, push: bool) -> Result<ImageOutput, OutputError> {
        for key in ["unpack", "name-canonical", "dangling-name-prefix"] {
            if self.flag(key).ok().flatten() == Some(true) {
                return Err(OutputError::NotYet("this attribute of `type=image`"));
            }
        }
        Ok(ImageOutput {
            names: self.names(),
            push: self.flag("push")?.unwrap_or(push),
            push_by_digest: self.flag("push-by-digest")?.unwrap_or(false),
            insecure: self.flag("registry.insecure")?.unwrap_or(false),
            store: self.flag("store")?.unwrap_or(!push),
            format: self.format()?,
        })
    }

    fn format(&mut self) -> Result<Format, OutputError> {
        let compression = match self.take("compression").as_deref() {
            None | Some("gzip") => Compression::Gzip,
            Some("zstd") => Compression::Zstd,
            Some("uncompressed") => Compression::None,
            Some("estargz") => return Err(OutputError::NotYet("compression=estargz")),
            Some(value) => {
                return Err(OutputError::Value {
                    key: "compression".to_owned(),
                    value: value.to_owned(),
                    expected: "gzip, zstd or uncompressed",
                });
            }
        };
        Ok(Format {
            compression,
            level: self.level(compression)?,
            force_compression: self.flag("force-compression")?.unwrap_or(false),
            oci_media_types: self.flag("oci-mediatypes")?.unwrap_or(true),
            rewrite_timestamp: match self.flag("rewrite-timestamp")? {
                None => Rewrite::Clamp,
                Some(true) => Rewrite::Marked,
                Some(false) => Rewrite::Keep,
            },
            oci_artifact: self.flag("oci-artifact")?.unwrap_or(true),
            epoch: self.epoch()?,
            annotations: self.annotations()?,
        })
    }

    fn level(&mut self, compression: Compression) -> Result<Option<i32>, OutputError> {
        let Some(value) = self.take("compression-level") else {
            return Ok(None);
        };
        let (range, expected) = match compression {
            Compression::Zstd => (0..=22, "a number from 0 to 22"),
            Compression::Gzip | Compression::None => (0..=9, "a number from 0 to 9"),
        };
        let level = value.parse().ok().filter(|level| range.contains(level));
        let error = || OutputError::Value {
            key: "compression-level".to_owned(),
            value,
            expected,
        };
        level.ok_or_else(error).map(Some)
    }

    fn epoch(&mut self) -> Result<Option<i64>, OutputError> {
        let Some(value) = self.take("source-date-epoch").filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let expected = "seconds since 1970";
        let error = |value| OutputError::Value {
            key: "source-date-epoch".to_owned(),
            value,
            expected,
        };
        value.parse().map(Some).map_err(|_| error(value))
    }

    fn local_mode(&mut self) -> Result<LocalMode, OutputError> {
        match self.take("mode").as_deref() {
            None | Some("copy") => Ok(LocalMode::Copy),
            Some("delete") => Ok(LocalMode::Delete),
            Some(value) => {
                let (key, value) = ("mode".to_owned(), value.to_owned());
                Err(OutputError::Value {
                    key,
                    value,
                    expected: "copy or delete",
                })
            }
        }
    }

    fn annotations(&mut self) -> Result<Vec<Annotation>, OutputError> {
        let mut annotations = Vec::new();
        let mut rest = Vec::new();
        for (key, value) in self.attrs.drain(..) {
            match annotation(&key, &value)? {
                Some(annotation) => annotations.push(annotation),
                None => rest.push((key, value)),
            }
        }
        self.attrs = rest;
        Ok(annotations)
    }
}

/// Reads `annotation[-TYPE][[PLATFORM]].KEY`.
fn annotation(key: &str, value: &str) -> Result<Option<Annotation>, OutputError> {
    let Some(rest) = key.strip_prefix("annotation") else {
        return Ok(None);
    };
    let Some((head, name)) = rest.split_once('.') else {
        return Ok(None);
    };
    let (kind, platform) = match head.split_once('[') {
        Some((kind, platform)) => (kind, platform.strip_suffix(']')),
        None => (head, None),
    };
    let bad = |expected| OutputError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    };
    let level = match kind {
        "" | "-manifest" => AnnotationLevel::Manifest,
        "-manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
        "-index" => AnnotationLevel::Index,
        "-index-descriptor" => AnnotationLevel::IndexDescriptor,
        _ => {
            return Err(bad(
                "annotation, annotation-index, annotation-manifest-descriptor or annotation-index-descriptor",
            ));
        }
    };
    let platform = platform
        .map(str::parse)
        .transpose()
        .map_err(|_| bad("a platform such as linux/amd64"))?;
    Ok(Some(Annotation {
        level,
        platform,
        key: name.to_owned(),
        value: value.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fails(text: &str, expect: &str) {
        let error = text.parse::<Output>().expect_err(text).to_string();
        assert!(error.contains(expect), "{text}: {error}");
    }

    #[test]
    fn outputs_are_read_as_buildx_reads_them() {
        let local = Output::Local {
            dest: "out".into(),
            platform_split: None,
            mode: LocalMode::Copy,
            epoch: None,
        };
        assert_eq!("out".parse(), Ok(local.clone()));
        assert_eq!("type=local,dest=out".parse(), Ok(local));
        assert_eq!(
            "-".parse(),
            Ok(Output::Tar {
                dest: Destination::Stdout,
                epoch: None
            })
        );
        let Ok(Output::Oci {
            dest,
            tar,
            names,
            format,
        }) = "type=oci,dest=a.tar,\"name=a:1,b:2\",compression=zstd,compression-level=9,tar=false".parse()
        else {
            panic!("an OCI output")
        };
        assert_eq!((dest, tar), (Destination::Path("a.tar".into()), false));
        assert_eq!(names, ["a:1", "b:2"]);
        assert_eq!((format.compression, format.level), (Compression::Zstd, Some(9)));
        let Ok(Output::Image(image)) = "type=registry,name=a".parse() else {
            panic!("an image")
        };
        assert!(image.push && !image.store);
        let Ok(Output::Image(image)) = "type=image,annotation-index[linux/arm64].Org.X=1".parse() else {
            panic!("an image")
        };
        assert_eq!(image.format.annotations[0].key, "Org.X");
    }

    #[test]
    fn nothing_is_ignored() {
        fails("type=oci", "dest is required for oci output");
        fails("type=foo", "is not an output type");
        fails("dest=a,x=b", "type is required");
        fails("type=oci,dest=a,destt=b", "has no attribute `destt`");
        fails(
            "type=oci,dest=a,compression=lz4",
            "expected gzip, zstd or uncompressed",
        );
        fails("type=oci,dest=a,compression=estargz", "not supported yet");
        fails("type=oci,dest=a,compression-level=10", "from 0 to 9");
        fails("type=oci,dest=a,tar=maybe", "true or false");
        fails("type=image,annotation-foo.a=b", "annotation-index");
        fails("type=local,dest=-", "a directory");
    }
}
