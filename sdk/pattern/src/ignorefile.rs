//! `.dockerignore` files.

use crate::clean::clean;

/// Reads the patterns of an ignore file, one a line, cleaned and without leading `/`. Lines that start with `#` and
/// empty ones do not count; `!` stays in front. Bytes that are not UTF-8 are replaced.
pub fn read_ignore_file(content: &[u8]) -> Vec<String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let text = String::from_utf8_lossy(content);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(line)
        .collect()
}

fn line(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (mark, path) = match line.strip_prefix('!') {
        Some(path) => ("!", path.trim()),
        None => ("", line),
    };
    if path.is_empty() {
        return Some(mark.to_owned());
    }
    let path = clean(path);
    let relative = path
        .strip_prefix('/')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&path);
    Some(format!("{mark}{relative}"))
}
