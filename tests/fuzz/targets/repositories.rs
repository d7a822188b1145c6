//! Git and http URLs: what is understood is safe to give to git, and is shown without passwords.

use std::collections::BTreeMap;

use kiln_fetch::GitSource;
use kiln_fetch::HttpSource;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use kiln_giturl::redact;

use super::shared_texts;
use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    let table = "conformance/git/git_ref_tables.json";
    let mut seeds = shared_texts(table, "parse_git_ref", "ref");
    seeds.extend(shared_texts(table, "new_git_identifier", "url"));
    Target {
        name: "repositories",
        run,
        tokens: &[
            b"https://",
            b"http://",
            b"ssh://",
            b"git://",
            b"file://",
            b"ext::",
            b"git@",
            b"github.com/",
            b"example.com",
            b"-oProxyCommand=",
            b"--upload-pack=",
            b".git",
            b"#",
            b":",
            b"?",
            b"&",
            b"ref=",
            b"tag=",
            b"branch=",
            b"subdir=",
            b"commit=",
            b"checksum=",
            b"keep-git-dir",
            b"submodules=false",
            b"mtime=commit",
            b"fetch-by-commit",
            b"refs/heads/",
            b"../",
            b"%2e",
            b"%00",
            b"user:pass@",
            b"@",
            b"[::1]:22",
            b"0123456789abcdef0123456789abcdef01234567",
            b"\n",
            b"\xc3\xa9",
        ],
        seeds,
    }
}

fn run(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return "no text".to_owned();
    };
    let shown = redact(text);
    assert_eq!(redact(&shown), shown, "`{text}` is shown in two ways");
    [
        git(text, Known::Git),
        git(text, Known::Unknown),
        raw(text),
        http(text),
    ]
    .join("|")
}

/// A URL as the user or a Dockerfile writes it.
fn git(text: &str, known: Known) -> String {
    let git = match kiln_giturl::parse(text, known) {
        GitUrl::No => return "no".to_owned(),
        GitUrl::Bad(message) => return shape(&message),
        GitUrl::Yes(git) => git,
    };
    let attrs = git
        .attrs()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    source(&git.identifier(), &attrs.collect())
}

/// An identifier as a frontend that means no good writes it.
fn raw(text: &str) -> String {
    let attrs = BTreeMap::from([("git.fullurl".to_owned(), text.to_owned())]);
    format!(
        "{} {}",
        source(text, &BTreeMap::new()),
        source("git://h/x", &attrs)
    )
}

fn source(identifier: &str, attrs: &BTreeMap<String, String>) -> String {
    match GitSource::parse(identifier, attrs) {
        Ok(source) => {
            check(&source.url());
            "ok".to_owned()
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                !text.contains("://user:pass@"),
                "`{identifier}` is shown in `{text}`"
            );
            shape(&text)
        }
    }
}

/// Asserts what must hold for everything that git is called with.
fn check(url: &str) {
    assert!(!url.starts_with('-'), "`{url}` is an option");
    assert!(
        !url.chars().any(char::is_control),
        "{url:?} has control characters"
    );
    let word = url.split("::").next().unwrap_or_default();
    let helper = url.contains("::")
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    assert!(!helper, "`{url}` calls a helper");
    let authority = match url.split_once("://") {
        Some((scheme, rest)) => {
            assert!(
                matches!(scheme, "http" | "https" | "ssh" | "git"),
                "`{url}` is spoken"
            );
            rest.split(['/', '?']).next().unwrap_or_default()
        }
        None => {
            let (address, path) = url.split_once(':').expect("a URL or `host:path`");
            assert!(!path.starts_with('-'), "the path of `{url}` is an option");
            address
        }
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    assert!(!host.is_empty() && !host.starts_with('-'), "the host of `{url}`");
    assert!(!authority.starts_with('-'), "the user of `{url}` is an option");
}

fn http(text: &str) -> String {
    match HttpSource::parse(text, &BTreeMap::new()) {
        Ok(source) => {
            let name = source.expected_filename();
            let plain = !matches!(name.as_str(), "" | "." | "..") && !name.contains('/');
            assert!(
                plain && !name.chars().any(char::is_control),
                "`{text}` gives the file name {name:?}"
            );
            "ok".to_owned()
        }
        Err(error) => shape(&error.to_string()),
    }
}
