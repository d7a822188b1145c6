//! `--cache-to` and `--cache-from`.

use std::collections::BTreeMap;

use kiln_cache::CacheFrom;
use kiln_cache::CacheTo;
use kiln_cache::Location;
use kiln_plugin::Selection;

use super::ArgError;
use super::Surroundings;
use crate::embedded;

/// Build argument that asks for a cache inside the image, as buildx has it.
const INLINE: &str = "BUILDKIT_INLINE_CACHE";

/// Reads all `--cache-to`.
pub(crate) fn to(
    given: &[String],
    build_args: &[(String, String)],
    plugins: &[Selection],
    around: &Surroundings,
) -> Result<Vec<CacheTo>, ArgError> {
    let env = clouds(around);
    let mut all: Vec<CacheTo> = Vec::new();
    for text in given {
        for fields in specs("--cache-to", text)? {
            let mut cache = CacheTo::parse(&fields, &env, &|kind| is_plugin(kind, plugins))
                .map_err(|error| refused("--cache-to", text, error))?;
            place(&mut cache.location, around);
            if all.iter().any(|known| known.location == cache.location) {
                return Err(ArgError::new(format!(
                    "duplicate cache export `{}`",
                    masked(text)
                )));
            }
            all.push(cache);
        }
    }
    let asked = build_args
        .iter()
        .any(|(key, value)| key == INLINE && matches!(value.as_str(), "1" | "true"));
    if asked && !all.iter().any(|cache| cache.location == Location::Inline) {
        let inline = CacheTo::parse(&["type=inline".to_owned()], &env, &|_| false);
        all.extend(inline.ok());
    }
    Ok(all)
}

/// Reads all `--cache-from`.
pub(crate) fn from(
    given: &[String],
    plugins: &[Selection],
    around: &Surroundings,
) -> Result<Vec<CacheFrom>, ArgError> {
    let env = clouds(around);
    let mut all = Vec::new();
    for text in given {
        for fields in specs("--cache-from", text)? {
            let mut cache = CacheFrom::parse(&fields, &env, &|kind| is_plugin(kind, plugins))
                .map_err(|error| refused("--cache-from", text, error))?;
            place(&mut cache.location, around);
            all.push(cache);
        }
    }
    Ok(all)
}

/// Returns the names of the plugins that keep caches.
pub(crate) fn adapters(to: &[CacheTo], from: &[CacheFrom]) -> Vec<String> {
    let to = to.iter().map(|to| &to.location);
    let all = to.chain(from.iter().map(|from| &from.location));
    let plugin = |location: &Location| match location {
        Location::Adapter(place) => Some(place.plugin.clone()),
        _ => None,
    };
    all.filter_map(plugin).collect()
}

/// Tells whether a type is a plugin: a part of the program, one that `--plugin` names, or a reference of its own.
fn is_plugin(kind: &str, plugins: &[Selection]) -> bool {
    let is_named =
        |plugin: &Selection| plugin.name.as_deref() == Some(kind) || plugin.reference.to_string() == kind;
    embedded::find(&format!("cache-{kind}")).is_some()
        || plugins.iter().any(is_named)
        || kind.contains([':', '/'])
}

/// Returns the environment, with the keys of AWS' credentials file where it has none.
fn clouds(around: &Surroundings) -> BTreeMap<String, String> {
    let mut env = around.env.clone();
    if env.contains_key("AWS_ACCESS_KEY_ID") {
        return env;
    }
    let beside_home = || env.get("HOME").map(|home| format!("{home}/.aws/credentials"));
    let file = env
        .get("AWS_SHARED_CREDENTIALS_FILE")
        .cloned()
        .or_else(beside_home);
    let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) else {
        return env;
    };
    let profile = env.get("AWS_PROFILE").map_or("default", String::as_str);
    let keys = profile_of(&text, profile);
    env.extend(keys);
    env
}

/// Returns the keys of a profile by the names of their variables.
fn profile_of(text: &str, profile: &str) -> Vec<(String, String)> {
    let header = format!("[{profile}]");
    let lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1);
    let own = lines.take_while(|line| !line.starts_with('['));
    let pairs = own.filter_map(|line| line.split_once('='));
    let known = pairs.filter(|(key, _)| {
        let key = key.trim();
        matches!(
            key,
            "aws_access_key_id" | "aws_secret_access_key" | "aws_session_token"
        )
    });
    known
        .map(|(key, value)| (key.trim().to_uppercase(), value.trim().to_owned()))
        .collect()
}

/// Splits a value; several image names are several caches.
fn specs(flag: &str, text: &str) -> Result<Vec<Vec<String>>, ArgError> {
    let fields =
        kiln_export::split_csv(text).ok_or_else(|| ArgError::value(flag, text, "quotes in pairs"))?;
    if fields.iter().any(|field| field.contains('=')) {
        return Ok(vec![fields]);
    }
    Ok(fields.into_iter().map(|name| vec![name]).collect())
}

fn refused(flag: &str, text: &str, error: kiln_cache::SpecError) -> ArgError {
    ArgError::new(format!("invalid value `{}` for `{flag}`", masked(text))).because(error)
}

/// Returns the fields without values that sound like credentials: what is printed ends in logs.
fn masked(text: &str) -> String {
    let mask = |field: &str| match field.split_once('=') {
        Some((key, _))
            if ["secret", "token", "password", "access_key"]
                .iter()
                .any(|word| key.contains(word)) =>
        {
            format!("{key}=…")
        }
        _ => field.to_owned(),
    };
    text.split(',').map(mask).collect::<Vec<_>>().join(",")
}

fn place(location: &mut Location, around: &Surroundings) {
    if let Location::Local { path, .. } = location {
        *path = around.directory.join(&*path).components().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_printed() {
        let text = "type=s3,secret_access_key=hunter2,objects.session_token=hunter2,bucket=b";
        assert_eq!(
            masked(text),
            "type=s3,secret_access_key=…,objects.session_token=…,bucket=b"
        );
    }

    #[test]
    fn profiles_are_found() {
        let text = "[other]\naws_access_key_id = no\n[default]\n aws_access_key_id = a\naws_secret_access_key=b=c\nregion = r\n[more]\naws_session_token = no\n";
        let keys = profile_of(text, "default");
        let expect = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b=c")];
        assert_eq!(
            keys,
            expect.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(profile_of(text, "none").is_empty());
    }
}
