//! `cargo xtask docs`: makes the book of `docs/` with mdBook, and checks that its links lead somewhere.

use std::collections::BTreeSet;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::bail;

use crate::process;
use crate::roots;

/// Version of mdBook that is installed, without what watches and serves.
const VERSION: &str = "0.5.4";

/// Leaves the book in `target/book`.
pub(crate) fn run(root: &Path, _: &[String]) -> anyhow::Result<()> {
    let mdbook = ensure(&roots::cache_directory().join("tools"))?;
    let out = root.join("target/book");
    let mut build = Command::new(mdbook);
    build.arg("build").arg(root.join("docs"));
    let said = process::errors(build.arg("--dest-dir").arg(&out))?;
    if said.contains("WARN") || said.contains("ERROR") {
        bail!("mdBook is not content with docs/:\n{said}");
    }
    let problems = problems(&out)?;
    if !problems.is_empty() {
        bail!(
            "links of the book lead nowhere:\n  {}",
            problems.into_iter().collect::<Vec<_>>().join("\n  ")
        );
    }
    println!("{}", out.join("index.html").display());
    Ok(())
}

/// Returns mdBook, installing it first where it is missing.
fn ensure(tools: &Path) -> anyhow::Result<PathBuf> {
    let place = tools.join("mdbook");
    let binary = place.join("bin/mdbook");
    let there = Command::new(&binary).arg("--version").output();
    let there = there.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION));
    if !there {
        eprintln!(
            "docs: cargo install mdbook@{VERSION} (once, kept in {})",
            place.display()
        );
        let mut install = process::cargo();
        // A tool: how fast it runs does not matter, how long it builds does.
        install
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env_remove("CARGO_TARGET_DIR")
            .args([
                "install",
                "--quiet",
                "--locked",
                "--force",
                "--no-default-features",
            ])
            .args(["--features", "search", "--root"])
            .arg(&place);
        process::run(install.arg(format!("mdbook@{VERSION}")))?;
    }
    Ok(binary)
}

/// Returns what is wrong with the links of the pages below `book`.
fn problems(book: &Path) -> anyhow::Result<BTreeSet<String>> {
    let (mut folders, mut problems, mut links) = (vec![book.to_owned()], BTreeSet::new(), 0);
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let text = read(&path)?;
                for link in ["href=\"", "src=\""].iter().flat_map(|name| values(&text, name)) {
                    links += 1;
                    problems.extend(problem(book, &path, link)?);
                }
            }
        }
    }
    if links == 0 {
        bail!("`{}` has no links at all", book.display());
    }
    Ok(problems)
}

fn problem(book: &Path, page: &Path, link: &str) -> anyhow::Result<Option<String>> {
    if link.contains("://") || link.starts_with("data:") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let shown = page.strip_prefix(book).unwrap_or(page).display();
    let (path, id) = link.split_once('#').unwrap_or((link, ""));
    let target = match path.is_empty() {
        true => page.to_owned(),
        false => normal(&page.with_file_name(path)),
    };
    if !target.starts_with(book) || !target.is_file() {
        return Ok(Some(format!("{shown}: `{link}` leads nowhere")));
    }
    let named = id.is_empty() || values(&read(&target)?, "id=\"").any(|there| there == id);
    Ok((!named).then(|| format!("{shown}: `{link}` names nothing of that page")))
}

/// Returns the path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = out.pop(),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// Returns the values of an attribute in a page.
fn values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let after = text.split(name).skip(1);
    after.filter_map(|rest| rest.split_once('"').map(|(value, _)| value))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let dir = std::env::temp_dir().join(format!("kiln-book-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::write(
            dir.join("index.html"),
            r##"<h1 id="x"></h1><a href="a/b.html#y">"##,
        )
        .unwrap();
        let page = r##"<p id="y"></p><a href="../index.html#x"><a href="../no.html"><a href="#z"><a href="https://a/b">"##;
        std::fs::write(dir.join("a/b.html"), page).unwrap();
        let found: Vec<String> = problems(&dir).unwrap().into_iter().collect();
        std::fs::remove_dir_all(&dir).unwrap();
        let expected = [
            "a/b.html: `#z` names nothing of that page",
            "a/b.html: `../no.html` leads nowhere",
        ];
        assert_eq!(found, expected);
    }
}
