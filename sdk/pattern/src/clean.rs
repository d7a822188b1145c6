//! Paths in their shortest form.

/// Writes a path without empty names, `.` and avoidable `..`, as Go's `filepath.Clean` does. Nothing becomes `.`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => match names.last() {
                Some(last) if *last != ".." => {
                    names.pop();
                }
                _ if rooted => {}
                _ => names.push(".."),
            },
            name => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths() {
        let check = |path: &str, expect: &str| assert_eq!(clean(path), expect, "{path:?}");
        check("", ".");
        check("a/b/", "a/b");
        check("a//b/./c", "a/b/c");
        check("a/../b", "b");
        check("..", "..");
        check("../../a", "../../a");
        check("/..", "/");
        check("/../a", "/a");
        check("a/..", ".");
    }
}
