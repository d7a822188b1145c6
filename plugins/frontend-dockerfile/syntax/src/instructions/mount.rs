//! `RUN --mount` and `RUN --device`: the keys, their values and what goes together.

use super::Expander;
use crate::csv;
use crate::error::SyntaxError;
use crate::go;
use crate::suggest;
use crate::units;

/// What a mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountType {
    /// `bind`: files of the context, a stage or an image.
    #[default]
    Bind,
    /// `cache`: a directory that outlives the build.
    Cache,
    /// `tmpfs`: a directory in memory.
    Tmpfs,
    /// `secret`: one secret as file or environment variable.
    Secret,
    /// `ssh`: the socket of an SSH agent.
    Ssh,
}

impl MountType {
    /// Every type and its name.
    const ALL: [(&'static str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    /// Returns the name used in Dockerfiles.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("bind", |(name, _)| name)
    }

    /// Tells whether files it shows have an owner and a mode that can be chosen.
    fn has_file_info(self) -> bool {
        matches!(self, Self::Secret | Self::Ssh | Self::Cache)
    }
}

/// Who may use a cache directory at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// `shared`: everybody.
    Shared,
    /// `private`: each writer gets its own.
    Private,
    /// `locked`: one after the other.
    Locked,
}

impl Sharing {
    const ALL: [(&'static str, Self); 3] = [
        ("shared", Self::Shared),
        ("private", Self::Private),
        ("locked", Self::Locked),
    ];
}

/// One `--mount`, as understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// What it shows.
    pub kind: MountType,
    /// `from`: a stage, an image or a named context.
    pub from: Option<String>,
    /// `source`
    pub source: Option<String>,
    /// `target`
    pub target: Option<String>,
    /// Whether writing is refused. Without a key: no for cache and tmpfs, yes for the others.
    pub readonly: bool,
    /// `size` of a tmpfs, in bytes; 0 is no limit.
    pub size_limit: i64,
    /// `id`
    pub id: Option<String>,
    /// `sharing`
    pub sharing: Option<Sharing>,
    /// `required`: whether a missing secret or agent is an error.
    pub required: bool,
    /// `env`: the variable that shows a secret.
    pub env: Option<String>,
    /// `mode`
    pub mode: Option<u32>,
    /// `uid`
    pub uid: Option<u32>,
    /// `gid`
    pub gid: Option<u32>,
}

/// The keys that a misspelt key is compared with.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// Reads one `--mount` value. Without an expander only what cannot contain a variable is checked.
///
/// # Errors
/// A key that does not exist or does not fit the type, a value of the wrong form, a variable in `from`.
pub(crate) fn parse_mount(text: &str, mut expand: Option<&mut Expander<'_>>) -> Result<Mount, SyntaxError> {
    let fields =
        csv::fields(text).map_err(|e| SyntaxError::new(format!("failed to parse csv mounts: {e}")))?;
    let mut reader = Reader {
        mount: Mount::default(),
        readonly: None,
    };
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (value, expand.as_deref_mut()) {
            (None, None) => {}
            (None, Some(_)) => reader.bare(&key, field)?,
            (Some(value), Some(expand)) => reader.pair(&key, &expand(value)?, field)?,
            (Some(value), None) if key == "from" => {
                if has_variable(value) {
                    return Err(SyntaxError::new(format!(
                        "'{key}' doesn't support variable expansion, define alias stage instead"
                    )));
                }
                reader.mount.from = non_empty(value);
            }
            (Some(_), None) => {}
        }
    }
    let Reader { mut mount, readonly } = reader;
    check(&mount)?;
    mount.readonly = readonly.unwrap_or(!matches!(mount.kind, MountType::Cache | MountType::Tmpfs));
    Ok(mount)
}

/// Tells whether a `$` is followed by anything but a line end.
fn has_variable(text: &str) -> bool {
    text.char_indices()
        .any(|(i, c)| c == '$' && text[i + 1..].chars().next().is_some_and(|next| next != '\n'))
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

struct Reader {
    mount: Mount,
    readonly: Option<bool>,
}

impl Reader {
    /// A key without value.
    fn bare(&mut self, key: &str, field: &str) -> Result<(), SyntaxError> {
        match key {
            "readonly" | "ro" => self.readonly = Some(true),
            "readwrite" | "rw" => self.readonly = Some(false),
            "required" => {
                self.only_for(key, &[MountType::Secret, MountType::Ssh])?;
                self.mount.required = true;
            }
            _ => {
                return Err(SyntaxError::new(format!(
                    "invalid field '{field}' must be a key=value pair"
                )));
            }
        }
        Ok(())
    }

    /// A key with its expanded value.
    fn pair(&mut self, key: &str, value: &str, field: &str) -> Result<(), SyntaxError> {
        match key {
            "type" => self.mount.kind = named(&MountType::ALL, value, "unsupported mount type")?,
            "from" => self.mount.from = non_empty(value),
            "source" | "src" => self.mount.source = non_empty(value),
            "target" | "dst" | "destination" => self.mount.target = non_empty(value),
            "readonly" | "ro" => self.readonly = Some(boolean(key, value)?),
            "readwrite" | "rw" => self.readonly = Some(!boolean(key, value)?),
            "required" => {
                self.only_for(key, &[MountType::Secret, MountType::Ssh])?;
                self.mount.required = boolean(key, value)?;
            }
            "size" => {
                self.only_for(key, &[MountType::Tmpfs])?;
                self.mount.size_limit = units::ram_in_bytes(value)
                    .ok_or_else(|| SyntaxError::new(format!("invalid value for {key}: {value}")))?;
            }
            "id" => self.mount.id = non_empty(value),
            "sharing" => self.mount.sharing = Some(named(&Sharing::ALL, value, "unsupported sharing value")?),
            "mode" => self.mount.mode = Some(number(key, value, 8)?),
            "uid" => self.mount.uid = Some(number(key, value, 10)?),
            "gid" => self.mount.gid = Some(number(key, value, 10)?),
            "env" => self.mount.env = Some(value.to_owned()),
            _ => {
                let text = format!("unexpected key '{key}' in '{field}'");
                return Err(SyntaxError::new(suggest::exact(text, key, &KEYS)));
            }
        }
        Ok(())
    }

    /// The type must have been named before a key that only some types have.
    fn only_for(&self, key: &str, kinds: &[MountType]) -> Result<(), SyntaxError> {
        if kinds.contains(&self.mount.kind) {
            return Ok(());
        }
        let kind = self.mount.kind.name();
        Err(SyntaxError::new(format!(
            "unexpected key '{key}' for mount type '{kind}'"
        )))
    }
}

fn named<T: Copy>(all: &[(&str, T)], value: &str, what: &str) -> Result<T, SyntaxError> {
    let lower = value.to_lowercase();
    if let Some((_, found)) = all.iter().find(|(name, _)| *name == lower) {
        return Ok(*found);
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    Err(SyntaxError::new(suggest::exact(
        format!("{what} {}", go::quote(value)),
        value,
        &names,
    )))
}

fn boolean(key: &str, value: &str) -> Result<bool, SyntaxError> {
    go::parse_bool(value).ok_or_else(|| SyntaxError::new(format!("invalid value for {key}: {value}")))
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, SyntaxError> {
    go::parse_u32(value, radix).ok_or_else(|| SyntaxError::new(format!("invalid value {value} for {key}")))
}

fn check(mount: &Mount) -> Result<(), SyntaxError> {
    let kind = mount.kind.name();
    if !mount.kind.has_file_info() {
        let given = [
            ("mode", mount.mode.is_some()),
            ("uid", mount.uid.is_some()),
            ("gid", mount.gid.is_some()),
        ];
        if let Some((key, _)) = given.iter().find(|(_, given)| *given) {
            return Err(SyntaxError::new(format!(
                "{key} not allowed for {} type mounts",
                go::quote(kind)
            )));
        }
    }
    if mount.kind == MountType::Secret {
        check_secret(mount)?;
    }
    if mount.sharing.is_some() && mount.kind != MountType::Cache {
        return Err(SyntaxError::new(format!(
            "invalid cache sharing set for {kind} mount"
        )));
    }
    Ok(())
}

fn check_secret(mount: &Mount) -> Result<(), SyntaxError> {
    let text = if mount.from.is_some() {
        "secret mount should not have a from"
    } else if mount.sharing.is_some() {
        "secret mount should not define sharing"
    } else if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
        "invalid secret mount. one of source, target required"
    } else if mount.source.is_some() && mount.id.is_some() {
        "both source and id can't be set"
    } else {
        return Ok(());
    };
    Err(SyntaxError::new(text))
}

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// The CDI name, `vendor/class` or `vendor/class=device`.
    pub name: String,
    /// Whether a missing device is an error.
    pub required: bool,
}

/// Reads one `--device` value.
///
/// # Errors
/// Two names, or a key that does not exist.
pub fn parse_device(text: &str) -> Result<Device, SyntaxError> {
    let fields =
        csv::fields(text).map_err(|e| SyntaxError::new(format!("failed to parse csv devices: {e}")))?;
    let mut device = Device::default();
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => device.required = boolean(&key, value)?,
            ("name", Some(value)) => {
                if !device.name.is_empty() {
                    return Err(SyntaxError::new(format!(
                        "device name already set to {}",
                        device.name
                    )));
                }
                value.clone_into(&mut device.name);
            }
            _ if device.name.is_empty() => field.clone_into(&mut device.name),
            (_, None) => {
                return Err(SyntaxError::new(format!(
                    "invalid field '{field}' must be a key=value pair"
                )));
            }
            (_, Some(_)) => {
                let text = format!("unexpected key '{key}' in '{field}'");
                return Err(SyntaxError::new(suggest::exact(
                    text,
                    &key,
                    &["name", "required"],
                )));
            }
        }
    }
    Ok(device)
}
