//! Repositories over http, `git://` and from this machine.

use std::path::Path;

use kiln_fetch::GitSource;
use kiln_tests::support::Page;
use kiln_tests::support::Repositories;
use kiln_tests::support::Web;
use kiln_tests::support::shared;
use serde_json::Value;

use crate::support::Place;
use crate::support::User;
use crate::support::chain;
use crate::support::source;

/// The repository of BuildKit's table: a tag, a branch, another with a directory, a submodule.
struct Served {
    web: Web,
    repositories: Repositories,
    v2: String,
    latest: String,
}

impl Served {
    fn new() -> Self {
        let (web, repositories) = (Web::start(), Repositories::new());
        let sub = repositories.repository("sub").file("file", "123\n");
        let inner = sub.commit("sub");
        sub.publish();
        let main = repositories.repository("main").file("file", "base\n");
        main.commit("base");
        main.git(&["branch", "base"]);
        let main = main.file("file", "v0.0.2\n");
        let v2 = main.commit("v2");
        main.git(&["tag", "-a", "v0.0.2", "-m", "two"]);
        main.git(&["checkout", "--quiet", "-b", "feature"]);
        let main = main.file("sub/file", "subfeature\n");
        main.commit("feature");
        main.git(&["checkout", "--quiet", "master"]);
        let main = main.file("file", "latest\n");
        main.submodule("submod", "../sub.git", &inner);
        let latest = main.commit("latest");
        main.publish();
        web.repositories("git", repositories.path());
        Self {
            web,
            repositories,
            v2,
            latest,
        }
    }

    fn url(&self, rest: &str) -> String {
        self.web.url(&format!("/git/main.git{rest}"))
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Reads what BuildKit's table writes as Go: texts, joined by `+`, and names of commits, maybe cut.
fn go(served: &Served, value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let terms = value["$go"].as_str()?.split(" + ");
    let term = |term: &str| match term.trim() {
        "serverURL" => served.url(""),
        "commitHashLatest" => served.latest.clone(),
        "commitHashV2" => served.v2.clone(),
        "commitHashLatest[:8]" => served.latest[..8].to_owned(),
        "commitHashV2[:8]" => served.v2[..8].to_owned(),
        text => text.trim_matches('"').replace("\\n", "\n").replace("/.git", ""),
    };
    Some(terms.map(term).collect())
}

#[tokio::test]
async fn urls_and_queries_mean_what_buildkit_says() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let path = shared("conformance/git/git_ref_tables.json");
    let tables: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let rows = tables["query_string_integration"].as_array().unwrap();
    assert!(rows.len() >= 27);
    for row in rows {
        let (name, url) = (&row["name"], go(&served, &row["url"]).unwrap());
        let file = match row["target"].as_str() {
            Some("withgit") => ".git/HEAD",
            Some("withsubmod") => "submod/file",
            _ => "file",
        };
        // What the frontend refuses never comes here.
        let conflict = match kiln_giturl::parse(&url, kiln_giturl::Known::Unknown) {
            kiln_giturl::GitUrl::Bad(message) => Some(message),
            _ => None,
        };
        let got = match conflict {
            Some(message) => Err(message),
            None => match place.checkout(&url, &user).await {
                Ok((directory, _)) if directory.join(file).exists() => Ok(read(&directory.join(file))),
                Ok(_) => Err(format!("\"/{file}\": not found")),
                Err(error) => Err(chain(&error)),
            },
        };
        match (got, go(&served, &row["expectOut"]), row["expectErr"].as_str()) {
            (Ok(text), Some(expect), None) => assert_eq!(text, expect, "{name}: {url}"),
            (Err(text), None, Some(expect)) => assert!(text.contains(expect), "{name}: {url}: {text}"),
            (got, ..) => panic!("{name}: {url}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn keys_are_commits() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let key = async |rest: &str| {
        let source = source(&served.url(rest)).unwrap();
        place.git().resolve(&source, &user).await.unwrap().key(&source)
    };
    let tag = served
        .repositories
        .repository("main")
        .git(&["rev-parse", "v0.0.2"]);
    assert_eq!(key("").await, served.latest);
    assert_eq!(key("#v0.0.2").await, served.v2);
    assert_eq!(key("#v0.0.2:sub").await, format!("{}:sub", served.v2));
    assert_eq!(
        key("?tag=v0.0.2&keep-git-dir=1").await,
        format!("{tag}.git#refs/tags/v0.0.2")
    );
    assert_eq!(
        key("?submodules=false").await,
        format!("{}(skip-submodules)", served.latest)
    );
    served.web.take_seen();
    assert_eq!(key(&format!("#{}", served.v2)).await, served.v2);
    assert!(served.web.take_seen().is_empty(), "a commit is its own key");
}

#[tokio::test]
async fn repositories_are_kept() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let by_commit = served.url(&format!("?submodules=false#{}", served.v2));
    let (directory, _) = place.checkout(&by_commit, &user).await.unwrap();
    assert_eq!(read(&directory.join("file")), "v0.0.2\n");
    served.web.take_seen();
    place.checkout(&by_commit, &user).await.unwrap();
    assert!(served.web.take_seen().is_empty(), "the commit is here");
    // A commit that no branch names any more, of a server that gives only what branches name.
    let main = served.repositories.repository("main").file("file", "moved\n");
    let moved = main.commit("moved");
    main.publish();
    let (directory, resolved) = place.checkout(&served.url(""), &user).await.unwrap();
    assert_eq!(
        (resolved.commit.as_str(), read(&directory.join("file")).as_str()),
        (moved.as_str(), "moved\n")
    );
    // Damage is noticed and mended.
    let kept = std::fs::read_dir(place.dir.path().join("git")).unwrap().flatten();
    for entry in kept.filter(|entry| entry.path().extension().is_some_and(|e| e == "git")) {
        std::fs::remove_dir_all(entry.path().join("objects")).unwrap();
        std::fs::create_dir(entry.path().join("objects")).unwrap();
        std::fs::write(entry.path().join("shallow.lock"), "").unwrap();
    }
    let (directory, _) = place.checkout(&served.url(""), &user).await.unwrap();
    assert_eq!(read(&directory.join("submod/file")), "123\n");
    place.git().tidy(std::time::Duration::ZERO).unwrap();
    let left = std::fs::read_dir(place.dir.path().join("git")).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn checkouts_run_side_by_side() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let urls = ["", "#base", "#v0.0.2", "?branch=feature", "?keep-git-dir=true"].map(|rest| served.url(rest));
    let [a, b, c, d, e] = &urls;
    let done = tokio::join!(
        place.checkout(a, &user),
        place.checkout(b, &user),
        place.checkout(c, &user),
        place.checkout(d, &user),
        place.checkout(e, &user),
    );
    let texts = [done.0, done.1, done.2, done.3, done.4].map(|one| read(&one.unwrap().0.join("file")));
    assert_eq!(texts, ["latest\n", "base\n", "v0.0.2\n", "v0.0.2\n", "latest\n"]);
}

#[tokio::test]
async fn kept_repositories_are_repositories() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let url = served
        .url("?tag=v0.0.2&keep-git-dir=true")
        .replace("http://", "http://user:hunter2@");
    let (directory, _) = place.checkout(&url, &user).await.unwrap();
    let name = directory.display().to_string();
    let git = |words: &[&str]| {
        kiln_tests::support::tool("git", &[&["-C", &name, "-c", "safe.directory=*"], words].concat())
    };
    assert_eq!(
        git(&["rev-parse", "HEAD", "v0.0.2^{commit}"]),
        format!("{0}\n{0}\n", served.v2)
    );
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert!(!git(&["config", "--list"]).contains("hunter2"));
    assert!(git(&["remote", "get-url", "origin"]).ends_with("/git/main.git\n"));
}

#[tokio::test]
async fn tokens_go_to_their_host_only() {
    let (served, place) = (Served::new(), Place::new());
    // base64 of `x-access-token:s3cret`
    let basic = "basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";
    served
        .web
        .private_repositories("private", served.repositories.path(), basic);
    let url = served.web.url("/private/main.git");
    let host = served.web.host();
    for id in ["GIT_AUTH_TOKEN".to_owned(), format!("GIT_AUTH_TOKEN.{host}")] {
        let (directory, _) = place.checkout(&url, &User::with(&id, "s3cret\n")).await.unwrap();
        assert_eq!(read(&directory.join("submod/file")), "123\n", "{id}");
    }
    let header = User::with("GIT_AUTH_HEADER", basic);
    assert!(place.checkout(&url, &header).await.is_ok());
    let other = User::with("GIT_AUTH_TOKEN.example.com", "s3cret");
    let text = chain(&place.checkout(&url, &other).await.unwrap_err());
    assert!(
        text.contains(&format!("`--secret id=GIT_AUTH_TOKEN.{host}")),
        "{text}"
    );
    // A repository that has moved on its host is found, by who may see it.
    let page = Page::redirect("/private/main.git/info/refs?service=git-upload-pack").wants(basic);
    served
        .web
        .page("/renamed.git/info/refs?service=git-upload-pack", page);
    let renamed = served.web.url("/renamed.git?submodules=false");
    let (directory, _) = place
        .checkout(&renamed, &User::with("GIT_AUTH_TOKEN", "s3cret"))
        .await
        .unwrap();
    assert_eq!(read(&directory.join("file")), "latest\n");
    // A server that sends git elsewhere does not get to see the token there.
    let elsewhere = Web::start();
    let page = Page::redirect(&elsewhere.url("/git/main.git/info/refs?service=git-upload-pack"));
    served
        .web
        .page("/moved.git/info/refs?service=git-upload-pack", page);
    let moved = served.web.url("/moved.git");
    let text = chain(
        &place
            .checkout(&moved, &User::with("GIT_AUTH_TOKEN", "s3cret"))
            .await
            .unwrap_err(),
    );
    assert!(text.contains("the repository has moved"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    let told = elsewhere.take_seen();
    assert!(told.iter().all(|seen| seen.authorization.is_none()), "{told:?}");
}

#[tokio::test]
async fn repositories_of_this_machine() {
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let bare = served.repositories.path().join("main.git");
    assert_eq!(
        GitSource::local(served.repositories.path().to_owned(), "", "").unwrap(),
        None
    );
    let source = GitSource::local(bare, "feature", "sub").unwrap().unwrap();
    let resolved = place.git().resolve(&source, &user).await.unwrap();
    let directory = place.directory();
    place
        .git()
        .checkout(&source, &resolved, &directory, &user)
        .await
        .unwrap();
    assert_eq!(read(&directory.join("file")), "subfeature\n");
}

#[tokio::test]
async fn git_is_missing() {
    let (served, place) = (Served::new(), Place::new());
    let mut config = place.config();
    config.git = "no-such-git".into();
    let source = source(&served.url("")).unwrap();
    let git = kiln_fetch::Git::new(config).unwrap();
    let text = chain(&git.resolve(&source, &User::default()).await.unwrap_err());
    assert!(
        text.contains("cannot run `no-such-git` (git is needed for git sources"),
        "{text}"
    );
}

#[tokio::test]
async fn times_and_modes_are_the_commits() {
    use std::os::unix::fs::MetadataExt as _;
    let (served, place, user) = (Served::new(), Place::new(), User::default());
    let url = served.url("?mtime=commit#base");
    let (directory, resolved) = place.checkout(&url, &user).await.unwrap();
    let metadata = std::fs::metadata(directory.join("file")).unwrap();
    assert_eq!(
        (metadata.mtime(), metadata.mode() & 0o7777),
        (1_700_000_000, 0o644)
    );
    let source = source(&url).unwrap();
    let time = place.git().commit_time(&source, &resolved, &user).await.unwrap();
    assert_eq!(time, 1_700_000_000);
}
