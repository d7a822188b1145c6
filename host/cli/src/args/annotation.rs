//! `--annotation [TYPE[[PLATFORM]][,TYPE…]:]KEY=VALUE`.

use kiln_export::Annotation;
use kiln_export::AnnotationLevel;
use kiln_image::Platform;

use super::ArgError;

/// Reads one flag; it can ask for several documents.
///
/// # Errors
/// When a platform cannot be read or there is no key.
pub(crate) fn parse(text: &str) -> Result<Vec<Annotation>, ArgError> {
    let expected = "`[TYPE:]KEY=VALUE`, TYPE one of manifest, index, manifest-descriptor, index-descriptor";
    let error = || ArgError::value("--annotation", text, expected);
    let (head, value) = text.split_once('=').ok_or_else(error)?;
    let (targets, key) = match head.split_once(':').map(|(types, key)| (targets(types), key)) {
        Some((Some(targets), key)) => (targets?, key),
        // A colon that is part of the key.
        _ => (vec![(AnnotationLevel::Manifest, None)], head),
    };
    if key.is_empty() {
        return Err(error());
    }
    let annotation = |(level, platform)| Annotation {
        level,
        platform,
        key: key.to_owned(),
        value: value.to_owned(),
    };
    Ok(targets.into_iter().map(annotation).collect())
}

type Target = (AnnotationLevel, Option<Platform>);

/// Reads `TYPE[[PLATFORM]],…`. None when a word is no type.
fn targets(types: &str) -> Option<Result<Vec<Target>, ArgError>> {
    let mut out = Vec::new();
    for word in types.split(',') {
        let (name, platform) = match word.split_once('[') {
            Some((name, platform)) => (name, Some(platform.strip_suffix(']')?)),
            None => (word, None),
        };
        let level = match name {
            "manifest" => AnnotationLevel::Manifest,
            "index" => AnnotationLevel::Index,
            "manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
            "index-descriptor" => AnnotationLevel::IndexDescriptor,
            _ => return None,
        };
        let platform = match platform.map(str::parse::<Platform>).transpose() {
            Ok(platform) => platform,
            Err(error) => {
                return Some(Err(
                    ArgError::new("invalid platform in `--annotation`").because(error)
                ));
            }
        };
        out.push((level, platform));
    }
    Some(Ok(out))
}
