//! `--secret` and `--ssh`.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use kiln_engine::Secret;

use super::ArgError;
use super::Surroundings;

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

/// Reads `ID[=SOCKET]`; without a socket it is `$SSH_AUTH_SOCK`.
///
/// # Errors
/// When there is no socket.
pub(crate) fn ssh(text: &str, around: &Surroundings) -> Result<(String, PathBuf), ArgError> {
    let (id, path) = text
        .split_once('=')
        .map_or((text, None), |(id, path)| (id, Some(path)));
    if id.is_empty() {
        return Err(ArgError::value("--ssh", text, "`default` or `ID=SOCKET`"));
    }
    let path = match path.or_else(|| around.env.get("SSH_AUTH_SOCK").map(String::as_str)) {
        Some(path) if !path.is_empty() => around.path(path),
        _ => {
            return Err(ArgError::new(
                "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
            ));
        }
    };
    let failed =
        |error| ArgError::new(format!("cannot use `{}` as SSH agent", path.display())).because(error);
    let metadata = std::fs::metadata(&path).map_err(failed)?;
    if !metadata.file_type().is_socket() {
        let error = ArgError::not_yet(&format!("an SSH key (`{}`) without an agent", path.display()));
        return Err(error.hint("start `ssh-agent`, add the key with `ssh-add`, and use `--ssh default`"));
    }
    Ok((id.to_owned(), path))
}
