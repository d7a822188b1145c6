//! Paths as BuildKit computes them, for Linux and Windows targets.

/// Returns the shortest path that means the same, as Go's `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Joins two paths and cleans the result, as Go's `path.Join`.
pub(crate) fn join(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(second),
        (false, true) => clean(first),
        (false, false) => clean(&format!("{first}/{second}")),
    }
}

/// Returns the last element, as Go's `path.Base`.
pub(crate) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Turns the separators of an operating system into `/`.
pub(crate) fn to_slash(path: &str, os: &str) -> String {
    if os == "windows" {
        path.replace('\\', "/")
    } else {
        path.to_owned()
    }
}

/// Turns `/` into the separators of an operating system.
pub(crate) fn from_slash(path: &str, os: &str) -> String {
    if os == "windows" {
        path.replace('/', "\\")
    } else {
        path.to_owned()
    }
}

/// Tells whether a path starts at the root; on Windows a drive letter counts.
pub(crate) fn is_abs(path: &str, os: &str) -> bool {
    if os != "windows" {
        return path.starts_with('/');
    }
    let path = to_slash(path, os);
    let rest = match path.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => &path[2..],
        _ => &path,
    };
    rest.starts_with('/')
}

/// Drops the letter of the system drive on Windows.
///
/// # Errors
/// Another drive, or a drive without a path.
pub(crate) fn drop_drive(path: &str, os: &str) -> Result<String, String> {
    if os != "windows" {
        return Ok(path.to_owned());
    }
    let slashed = to_slash(path, os);
    let Some((drive, rest)) = slashed.split_once(':') else {
        return Ok(slashed);
    };
    if rest.is_empty() {
        return Err(format!(
            "No relative path specified in {}",
            crate::go::quote(path)
        ));
    }
    if !drive.eq_ignore_ascii_case("c") {
        return Err("The specified path is not on the system drive (C:)".to_owned());
    }
    Ok(rest.to_owned())
}

/// Whether a slash at the end, which says "a directory", is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slash {
    /// `a/` stays `a/`.
    Keep,
    /// `a/` becomes `a`.
    Drop,
}

/// Returns `path` below `parent` as a clean absolute path.
///
/// # Errors
/// A drive of Windows that is not the system's.
pub(crate) fn normalize(parent: &str, path: &str, os: &str, slash: Slash) -> Result<String, String> {
    let written = to_slash(path, os);
    let parent = drop_drive(&to_slash(parent, os), os)?;
    let path = drop_drive(&written, os)?;
    let mut out = if path.starts_with('/') {
        clean(&path)
    } else {
        join(&join("/", &parent), &path)
    };
    if slash == Slash::Keep {
        if written.ends_with('/') && !out.ends_with('/') {
            out.push('/');
        } else if written.ends_with("/.") {
            out.push_str(if out == "/" { "." } else { "/." });
        }
    }
    Ok(out)
}

/// Returns the working directory that `WORKDIR path` leads to, with the separators of the target. An absolute path stays
/// as it is written, `..` and all.
///
/// # Errors
/// A drive of Windows that is not the system's.
pub(crate) fn workdir(current: &str, path: &str, os: &str) -> Result<String, String> {
    if os != "windows" && path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Ok(from_slash(&normalize(current, path, os, Slash::Drop)?, os))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        let check = |path: &str, expect: &str| assert_eq!(clean(path), expect, "{path}");
        check("", ".");
        check("/", "/");
        check("a/../..", "..");
        check("/a/../..", "/");
        check("a//b/./c", "a/b/c");
        check("../a", "../a");
        check("/..//a/", "/a");
    }

    #[test]
    fn destinations() {
        let check = |parent: &str, path: &str, expect: &str| {
            assert_eq!(
                normalize(parent, path, "linux", Slash::Keep).unwrap(),
                expect,
                "{parent} {path}"
            );
        };
        check("/", "./", "/");
        check("/app", "./", "/app/");
        check("/app", "x", "/app/x");
        check("/app", "x/", "/app/x/");
        check("/app", "x/.", "/app/x/.");
        check("/app", "/x/../y/", "/y/");
        check("", "../../x", "/x");
    }

    #[test]
    fn working_directories() {
        let check = |current: &str, path: &str, expect: &str| {
            assert_eq!(
                workdir(current, path, "linux").unwrap(),
                expect,
                "{current} {path}"
            );
        };
        check("/", "a", "/a");
        check("/a/", "../b//c/", "/b/c");
        check("/a", "/b/../c//d/", "/b/../c//d/");
        check("/a/../b", "c", "/b/c");
        check("/a", "", "/a");
    }

    #[test]
    fn windows() {
        assert_eq!(workdir("/", "/", "windows").unwrap(), "\\");
        assert_eq!(workdir("C:\\a", "b", "windows").unwrap(), "\\a\\b");
        assert_eq!(workdir("", "C:\\x", "windows").unwrap(), "\\x");
        assert!(workdir("", "D:\\x", "windows").is_err());
        assert!(is_abs("c:\\x", "windows"));
        assert!(!is_abs("c:x", "windows"));
    }
}
