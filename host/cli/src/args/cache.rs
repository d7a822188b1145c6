//! `--cache-to` and `--cache-from`.

use kiln_cache::CacheFrom;
use kiln_cache::CacheTo;
use kiln_cache::Location;

use super::ArgError;
use super::Surroundings;

/// Build argument that asks for a cache inside the image, as buildx has it.
const INLINE: &str = "BUILDKIT_INLINE_CACHE";

/// Reads all `--cache-to`.
pub(crate) fn to(
    given: &[String],
    build_args: &[(String, String)],
    around: &Surroundings,
) -> Result<Vec<CacheTo>, ArgError> {
    let mut all: Vec<CacheTo> = Vec::new();
    for text in given {
        for fields in specs("--cache-to", text)? {
            let mut cache = CacheTo::parse(&fields).map_err(|error| refused("--cache-to", text, error))?;
            place(&mut cache.location, around);
            if all.iter().any(|known| known.location == cache.location) {
                return Err(ArgError::new(format!("duplicate cache export `{text}`")));
            }
            all.push(cache);
        }
    }
    let asked = build_args
        .iter()
        .any(|(key, value)| key == INLINE && matches!(value.as_str(), "1" | "true"));
    if asked && !all.iter().any(|cache| cache.location == Location::Inline) {
        let inline = CacheTo::parse(&["type=inline".to_owned()]);
        all.extend(inline.ok());
    }
    Ok(all)
}

/// Reads all `--cache-from`.
pub(crate) fn from(given: &[String], around: &Surroundings) -> Result<Vec<CacheFrom>, ArgError> {
    let mut all = Vec::new();
    for text in given {
        for fields in specs("--cache-from", text)? {
            let mut cache =
                CacheFrom::parse(&fields).map_err(|error| refused("--cache-from", text, error))?;
            place(&mut cache.location, around);
            all.push(cache);
        }
    }
    Ok(all)
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
    ArgError::new(format!("invalid value `{text}` for `{flag}`")).because(error)
}

fn place(location: &mut Location, around: &Surroundings) {
    if let Location::Local { path, .. } = location {
        *path = around.directory.join(&*path).components().collect();
    }
}
