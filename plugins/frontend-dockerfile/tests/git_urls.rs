//! Git URLs, seen through ADD: which they are, and what of them ends in the source.

mod support;

use kiln_sdk::graph::Op;
use support::Build;
use support::shared;

/// Identifier and attributes.
type Git = (String, Vec<(String, String)>);

/// Returns identifier and attributes of the git source that ADD makes, or the error.
fn add(url: &str) -> Result<Option<Git>, String> {
    let (lowered, _) = Build::new(&format!("FROM scratch\nADD [{url:?}, \"/x\"]\n")).lower();
    let lowered = lowered.map_err(|failure| support::messages(&failure))?;
    Ok(lowered
        .definition
        .vertices
        .iter()
        .find_map(|vertex| match &vertex.op {
            Op::Source(source) if source.identifier.starts_with("git://") => {
                let attrs = source
                    .attrs
                    .iter()
                    .map(|a| (a.key.clone(), a.value.clone()))
                    .collect();
                Some((source.identifier.clone(), attrs))
            }
            _ => None,
        }))
}

#[test]
fn urls_are_read_as_buildkit_reads_them() {
    let tables = shared("git/git_ref_tables.json");
    for row in tables["parse_git_ref"].as_array().unwrap() {
        let url = row["ref"].as_str().unwrap();
        let expected = &row["expected"];
        match (add(url), row["err"].as_str()) {
            (Err(error), Some(expect)) => assert!(error.contains(expect), "{url}: {error}"),
            (Ok(None), None) => {
                assert!(
                    expected.is_null() || expected["IndistinguishableFromLocal"] == true,
                    "{url} is not git"
                );
            }
            (Ok(Some((id, attrs))), None) => {
                let get = |key: &str| attrs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
                assert!(!expected.is_null(), "{url} is git");
                assert_eq!(get("git.fullurl"), expected["Remote"].as_str(), "{url}");
                let reference = expected["Ref"].as_str().unwrap_or_default();
                let subdir = expected["SubDir"].as_str().unwrap_or_default();
                let fragment = id.split_once('#').map_or("", |(_, f)| f);
                let expect = if subdir.is_empty() {
                    reference.to_owned()
                } else {
                    format!("{reference}:{subdir}")
                };
                assert_eq!(fragment, expect, "{url}");
                assert_eq!(get("git.checksum"), expected["Checksum"].as_str(), "{url}");
                let by_commit = expected["FetchByCommit"] == true;
                assert_eq!(get("git.fetchbycommit").is_some(), by_commit, "{url}");
            }
            (got, expect) => panic!("{url}: {got:?}, not {expect:?}"),
        }
    }
}
