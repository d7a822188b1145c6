//! Repositories that want more than to be checked out.

use kiln_tests::support::Repositories;
use kiln_tests::support::Repository;
use kiln_tests::support::Web;

use crate::support::Place;
use crate::support::User;
use crate::support::chain;

struct Hostile {
    web: Web,
    repositories: Repositories,
    place: Place,
}

impl Hostile {
    fn new() -> Self {
        let hostile = Self {
            web: Web::start(),
            repositories: Repositories::new(),
            place: Place::new(),
        };
        hostile.web.repositories("git", hostile.repositories.path());
        hostile
    }

    fn repository(&self) -> Repository {
        self.repositories.repository("evil").file("file", "x\n")
    }

    async fn refused(&self, rest: &str, expect: &str) {
        let url = self.web.url(&format!("/git/evil.git{rest}"));
        let text = match self.place.checkout(&url, &User::default()).await {
            Ok((directory, _)) => panic!("{url}: {} was made", directory.display()),
            Err(error) => chain(&error),
        };
        assert!(text.contains(expect), "{url}: {text}");
    }
}

#[tokio::test]
async fn submodules_reach_nothing_of_this_machine() {
    for (url, expect) in [
        ("file:///etc", "unknown protocol"),
        ("/etc", "neither a URL nor"),
        ("ext::sh -c touch% /tmp/x", "must not begin with `:`"),
        ("--upload-pack=touch", "neither a URL nor"),
        ("ssh://-oProxyCommand=touch/x", "must not begin with `-`"),
        ("https://example.com/%0ahost=x", "control characters"),
        ("", "neither a URL nor"),
    ] {
        let hostile = Hostile::new();
        let evil = hostile.repository();
        let commit = evil.commit("one");
        evil.submodule("sub", url, &commit);
        evil.commit("two");
        evil.publish();
        hostile.refused("", "failed to update submodules for").await;
        hostile.refused("", expect).await;
        hostile.refused("", "submodule `sub`").await;
    }
}

#[tokio::test]
async fn submodules_without_end() {
    let mut hostile = Hostile::new();
    hostile.place.limits.submodules = 5;
    let evil = hostile.repository();
    let first = evil.commit("one");
    evil.submodule("a", "./../evil.git", &first);
    evil.submodule("b", "../evil.git", &first);
    let second = evil.commit("two");
    evil.publish();
    let url = hostile.web.url("/git/evil.git");
    let (directory, _) = hostile.place.checkout(&url, &User::default()).await.unwrap();
    assert!(directory.join("b/file").exists());
    for name in ["c", "d", "e"] {
        evil.submodule(name, "../evil.git", &second);
    }
    evil.commit("three");
    evil.publish();
    hostile.refused("", "there are too many").await;
    let evil = hostile.repository();
    evil.git(&["rm", "--quiet", "--cached", ".gitmodules"]);
    evil.git(&["commit", "--quiet", "-m", "four"]);
    evil.publish();
    hostile
        .refused("", "no submodule mapping found in .gitmodules")
        .await;
}

#[tokio::test]
async fn directories_are_directories() {
    let hostile = Hostile::new();
    let evil = hostile.repository();
    std::os::unix::fs::symlink("/etc", evil.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("..", evil.path().join("up")).unwrap();
    evil.commit("one");
    evil.publish();
    hostile
        .refused(
            "#:etc",
            "invalid subdir /etc: git subpath \"/etc\" contains non-directory \"etc\"",
        )
        .await;
    hostile.refused("#:up/x", "contains non-directory \"up\"").await;
    hostile.refused("#:file", "contains non-directory \"file\"").await;
    hostile
        .refused("#:../../missing", "invalid subdir /missing: lstat missing")
        .await;
}

#[tokio::test]
async fn names_are_no_options() {
    let hostile = Hostile::new();
    let evil = hostile.repository();
    evil.commit("one");
    evil.publish();
    for name in ["--upload-pack=x", "-x", "a..b", "a b", "+a", "*"] {
        hostile
            .refused(&format!("#{}", name.replace(' ', "%20")), "invalid git ref")
            .await;
    }
    hostile
        .refused(
            "?checksum=HEAD",
            "invalid checksum HEAD for Git URL, expected hex commit hash",
        )
        .await;
    hostile
        .refused("#missing", "repository does not contain ref missing")
        .await;
    hostile
        .refused(&format!("#{}", "0".repeat(40)), "failed to fetch remote")
        .await;
}

#[tokio::test]
async fn nothing_of_a_repository_is_run() {
    let hostile = Hostile::new();
    let mark = hostile.place.dir.path().join("mark");
    let evil = hostile.repository();
    // A filter and a hook, as configuration would name them.
    let evil = evil
        .file(".gitattributes", "* filter=evil\n")
        .file(
            ".gitconfig",
            &format!("[filter \"evil\"]\n\tsmudge = touch {}\n", mark.display()),
        )
        .file(
            ".git-hooks/post-checkout",
            &format!("#!/bin/sh\ntouch {}\n", mark.display()),
        );
    evil.commit("one");
    evil.publish();
    let url = hostile.web.url("/git/evil.git?keep-git-dir=true");
    let (directory, _) = hostile.place.checkout(&url, &User::default()).await.unwrap();
    assert!(directory.join("file").exists());
    assert!(!directory.join(".git/hooks").exists());
    assert!(!mark.exists());
}

#[tokio::test]
async fn bombs_are_counted_before_they_are_written() {
    let mut hostile = Hostile::new();
    let evil = hostile.repository();
    evil.commit("one");
    // Ten directories of ten directories of ten … of one file: 10^8 files in nine objects.
    let blob = evil.git(&["rev-parse", "HEAD:file"]);
    let mut tree = evil.path().join("tree");
    std::fs::write(&tree, format!("100644 blob {blob}\tf\n")).unwrap();
    let make = |file: &std::path::Path| {
        let script = format!("git mktree < {}", file.display());
        kiln_tests::support::tool(
            "sh",
            &["-c", &format!("cd {} && {script}", evil.path().display())],
        )
        .trim()
        .to_owned()
    };
    let mut id = make(&tree);
    for level in 0..8 {
        tree = evil.path().join(format!("tree{level}"));
        let rows: String = (0..10).map(|n| format!("040000 tree {id}\t{n}\n")).collect();
        std::fs::write(&tree, rows).unwrap();
        id = make(&tree);
    }
    let commit = evil.git(&["commit-tree", &id, "-m", "bomb"]);
    evil.git(&["update-ref", "refs/heads/master", &commit]);
    evil.publish();
    hostile.place.limits.entries = 10_000;
    hostile.refused("", "more than 10000 files and directories").await;
    hostile.place.limits.entries = 1_000_000;
    hostile.place.limits.bytes = 100;
    hostile.refused("", "more than 100 bytes").await;
}
