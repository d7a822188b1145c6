//! `--secret` and `--ssh`.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use kiln_engine::Secret;

use super::ArgError;
use super::Surroundings;
use super::agent::KeyAgent;

/// Largest secret in bytes (BuildKit's limit).
const LARGEST: u64 = 500 << 10;

/// Reads `id=ID[,src=FILE|env=NAME][,type=file|env]` and the secret itself.
///
/// # Errors
/// When the flag is malformed or the secret cannot be read.
pub(crate) fn secret(text: &str, around: &Surroundings) -> Result<(String, Secret), ArgError> {
    let expected = "`id=ID[,src=FILE|env=NAME]`";
    let error = || ArgError::value("--secret", text, expected);
    let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
    for field in kiln_export::split_csv(text).ok_or_else(error)? {
        let (key, value) = field.split_once('=').ok_or_else(error)?;
        match key.trim().to_ascii_lowercase().as_str() {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(value.to_owned()),
            "env" => env = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => kind = Some(value.to_owned()),
            "type" => return Err(ArgError::new(format!("unsupported secret type \"{value}\""))),
            key => return Err(ArgError::new(format!("unexpected key '{key}' in '{field}'")).hint(expected)),
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| ArgError::new("secret missing ID").hint(expected))?;
    if kind.as_deref() == Some("env") {
        env = env.or(file.take());
    }
    if file.is_none() && env.is_none() {
        let in_env = kind.as_deref() != Some("file") && around.env.contains_key(&id);
        *(if in_env { &mut env } else { &mut file }) = Some(id.clone());
    }
    let data = match (env, file) {
        // A variable that is not set is an empty secret in docker; that hides a mistake.
        (Some(name), _) => around
            .env
            .get(&name)
            .cloned()
            .map(String::into_bytes)
            .ok_or_else(|| {
                ArgError::new(format!("secret `{id}`: the environment has no variable `{name}`"))
            })?,
        (None, file) => read(&id, &around.path(&file.unwrap_or_default()))?,
    };
    Ok((id, Secret(data.into())))
}

fn read(id: &str, path: &std::path::Path) -> Result<Vec<u8>, ArgError> {
    let failed =
        |error| ArgError::new(format!("cannot read secret `{id}` from `{}`", path.display())).because(error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.len() > LARGEST {
        return Err(ArgError::new(format!(
            "secret \"{id}\" is too large, maximum size is 500KiB"
        )));
    }
    std::fs::read(path).map_err(failed)
}

/// What gives steps an SSH agent.
#[derive(Debug)]
pub(crate) enum Ssh {
    /// An agent that runs.
    Socket(PathBuf),
    /// An agent that was started for key files.
    Agent(KeyAgent),
}

impl Ssh {
    /// Returns where the agent listens.
    pub(crate) fn socket(&self) -> PathBuf {
        match self {
            Self::Socket(path) => path.clone(),
            Self::Agent(agent) => agent.socket(),
        }
    }
}

/// Reads `ID[=SOCKET|KEY[,KEY…]]`; without either it is `$SSH_AUTH_SOCK`.
///
/// # Errors
/// When there is no such socket or key.
pub(crate) fn ssh(text: &str, around: &Surroundings) -> Result<(String, Ssh), ArgError> {
    let (id, paths) = text
        .split_once('=')
        .map_or((text, None), |(id, paths)| (id, Some(paths)));
    if id.is_empty() {
        return Err(ArgError::value(
            "--ssh",
            text,
            "`default` or `ID=SOCKET|KEY[,KEY]`",
        ));
    }
    let paths = match paths.or_else(|| around.env.get("SSH_AUTH_SOCK").map(String::as_str)) {
        Some(paths) if !paths.is_empty() => paths.split(',').map(|path| around.path(path)),
        _ => {
            return Err(ArgError::new(
                "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
            ));
        }
    };
    let paths: Vec<PathBuf> = paths.collect();
    let mut sockets = Vec::new();
    for path in &paths {
        let failed = |error| {
            ArgError::new(format!("cannot use `{}` as SSH agent or key", path.display())).because(error)
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.file_type().is_socket() {
            sockets.push(path.clone());
        }
    }
    let given = match (sockets.as_slice(), paths.as_slice()) {
        ([socket], [_]) => Ssh::Socket(socket.clone()),
        ([], keys) => Ssh::Agent(KeyAgent::start(id, keys, &around.temporary)?),
        ([_], _) => return Err(ArgError::new("invalid combination of keys and sockets")),
        _ => return Err(ArgError::new("only single socket allowed")),
    };
    Ok((id.to_owned(), given))
}
