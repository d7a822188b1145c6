//! Names for files that come from elsewhere.

use crate::text::unescape;

/// The name where there is no better one.
const UNNAMED: &str = "download";

/// Returns a name that is one plain name whatever was asked for: the last part of a path, without white space around
/// it; `download` where nothing usable is left.
pub fn safe_filename(name: &str) -> String {
    let base = name.trim().trim_end_matches('/');
    let base = base.rsplit('/').next().unwrap_or_default().trim();
    let usable = !matches!(base, "" | "." | "..") && !base.chars().any(char::is_control);
    if usable {
        base.to_owned()
    } else {
        UNNAMED.to_owned()
    }
}

/// Returns the last part of an http URL's path, unescaped; none when it has none.
pub fn http_filename(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = unescape(path)?;
    let base = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    (!matches!(base, "" | ".")).then(|| base.to_owned())
}
