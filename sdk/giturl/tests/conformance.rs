//! BuildKit's own tables.

use std::path::PathBuf;

use kiln_giturl::GitIdentifier;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use kiln_giturl::RemoteUrl;
use kiln_giturl::parse;
use kiln_giturl::safe_filename;
use serde_json::Value;

fn table(name: &str) -> Vec<Value> {
    table_of("git/git_ref_tables.json", name)
}

fn table_of(file: &str, name: &str) -> Vec<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("KILN_SHARED").map_or_else(beside, PathBuf::from);
    let path = root.join("conformance").join(file);
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: set KILN_SHARED", path.display()));
    let tables: Value = serde_json::from_slice(&text).expect("the tables are JSON");
    let rows = tables[name].as_array().expect("a table is an array").clone();
    assert!(!rows.is_empty(), "{name}");
    rows
}

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_default()
}

#[test]
fn credentials_are_hidden() {
    for row in table_of("solver/solver_tables.json", "redact_credentials") {
        assert_eq!(
            kiln_giturl::redact(text(&row, "url")),
            text(&row, "want"),
            "{row}"
        );
    }
}

#[test]
fn references() {
    for row in table("parse_git_ref") {
        let (url, expected) = (text(&row, "ref"), &row["expected"]);
        match (parse(url, Known::Unknown), row["err"].as_str()) {
            (GitUrl::Bad(message), Some(expect)) => assert!(message.contains(expect), "{url}: {message}"),
            (GitUrl::No, None) => assert!(expected.is_null(), "{url} is git"),
            (GitUrl::Yes(git), None) => {
                let flag = |key: &str| expected[key] == true;
                assert!(expected.is_object(), "{url} is not git");
                assert_eq!(git.remote, text(expected, "Remote"), "{url}");
                assert_eq!(git.short_name(), text(expected, "ShortName"), "{url}");
                assert_eq!(git.reference, text(expected, "Ref"), "{url}");
                assert_eq!(git.subdir, text(expected, "SubDir"), "{url}");
                assert_eq!(git.checksum, text(expected, "Checksum"), "{url}");
                assert_eq!(git.mtime, text(expected, "MTime"), "{url}");
                assert_eq!(git.like_local, flag("IndistinguishableFromLocal"), "{url}");
                assert_eq!(git.fetch_by_commit, flag("FetchByCommit"), "{url}");
                assert_eq!(git.is_unencrypted(), flag("UnencryptedTCP"), "{url}");
            }
            (got, expect) => panic!("{url}: {got:?}, not {expect:?}"),
        }
    }
}

#[test]
fn fragments() {
    for (name, full) in [("fragment_format", false), ("fragment_format_with_subdir", true)] {
        for row in table(name) {
            let url = text(&row, "ref");
            let got = match parse(url, Known::Unknown) {
                GitUrl::Yes(git) if full => Some(git.with_full_fragment()),
                GitUrl::Yes(git) => Some(git.with_fragment()),
                GitUrl::No | GitUrl::Bad(_) => None,
            };
            let expect = (row["ok"] == true).then(|| text(&row, "expected").to_owned());
            assert_eq!(got, expect, "{name}: {url}");
        }
    }
}

#[test]
fn urls() {
    for row in table("parse_url") {
        let (url, expected) = (text(&row, "url"), &row["result"]);
        let Ok(got) = RemoteUrl::parse(url) else {
            assert_eq!(row["err"], true, "{url}");
            continue;
        };
        assert!(expected.is_object(), "{url}");
        assert_eq!(got.scheme, text(expected, "Scheme"), "{url}");
        assert_eq!(got.host, text(expected, "Host"), "{url}");
        assert_eq!(got.path, text(expected, "Path"), "{url}");
        let (reference, subdir) = got.fragment.split_once(':').unwrap_or((&got.fragment, ""));
        assert_eq!(reference, text(&expected["Opts"], "Ref"), "{url}");
        assert_eq!(subdir, text(&expected["Opts"], "Subdir"), "{url}");
        let user = &expected["User"];
        let words = [text(user, "user"), text(user, "password")];
        let joined = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(":");
        assert_eq!(got.user.unwrap_or_default(), joined, "{url}");
        assert_eq!(got.query.is_empty(), expected["Query"].is_null(), "{url}");
    }
    for row in table("parse_scp_url") {
        let url = text(&row, "url");
        let got = RemoteUrl::parse(url).unwrap();
        if row["err"] == true {
            assert!(url.contains("://"), "{url}");
            continue;
        }
        assert_eq!(got.host, text(&row, "host"), "{url}");
        assert_eq!(got.path, text(&row, "path"), "{url}");
        assert_eq!(got.user.as_deref(), Some(text(&row, "user")), "{url}");
        assert_eq!(got.fragment, text(&row, "fragment"), "{url}");
    }
}

#[test]
fn identifiers() {
    for row in table("new_git_identifier") {
        let (url, expected) = (text(&row, "url"), &row["expected"]);
        let got = GitIdentifier::parse(url).unwrap();
        assert_eq!(got.remote, text(expected, "Remote"), "{url}");
        assert_eq!(got.reference, text(expected, "Ref"), "{url}");
        assert_eq!(got.subdir, text(expected, "Subdir"), "{url}");
    }
}

#[test]
fn file_names() {
    for row in table("safe_file_name") {
        assert_eq!(
            safe_filename(text(&row, "in")),
            text(&row, "want"),
            "{}",
            row["name"]
        );
    }
}
