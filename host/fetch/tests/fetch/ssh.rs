//! Repositories over SSH.

use kiln_fetch::Git;
use kiln_tests::support::Repositories;
use kiln_tests::support::Sshd;

use crate::support::Place;
use crate::support::User;
use crate::support::chain;
use crate::support::source;

#[tokio::test]
async fn agents_open_repositories() {
    let (sshd, place, repositories) = (Sshd::start(), Place::new(), Repositories::new());
    let main = repositories.repository("main").file("file", "over ssh\n");
    let commit = main.commit("one");
    main.publish();
    let url = sshd.url(&repositories.path().join("main.git"));
    let text = chain(&place.checkout(&url, &User::default()).await.unwrap_err());
    assert!(text.contains("unset ssh forward key default"), "{text}");
    assert!(
        text.contains("no SSH key \"default\" forwarded from the client"),
        "{text}"
    );
    let user = User {
        agent: Some(sshd.agent()),
        ..User::default()
    };
    let (directory, resolved) = place.checkout(&url, &user).await.unwrap();
    assert_eq!(std::fs::read(directory.join("file")).unwrap(), b"over ssh\n");
    assert_eq!(resolved.commit, commit);
    // The key of a server that was met is kept, and must be the same then.
    let known = std::fs::read_to_string(place.dir.path().join("git/known_hosts")).unwrap();
    assert!(known.contains("[127.0.0.1]:"), "{known}");
}

#[tokio::test]
async fn servers_are_who_they_were() {
    let (sshd, place, repositories) = (Sshd::start(), Place::new(), Repositories::new());
    let main = repositories.repository("main").file("file", "x\n");
    main.commit("one");
    main.publish();
    let user = User {
        agent: Some(sshd.agent()),
        ..User::default()
    };
    let source = source(&sshd.url(&repositories.path().join("main.git"))).unwrap();
    let file = place.dir.path().join("hosts of a \u{fc}ser %h");
    for (line, expect) in [
        (sshd.known_host(), None),
        (sshd.wrong_host(), Some("Host key verification failed")),
    ] {
        std::fs::write(&file, line).unwrap();
        let mut config = place.config();
        config.known_hosts = vec![place.dir.path().join("missing"), file.clone()];
        config.repositories = place.directory();
        let resolved = Git::new(config).unwrap().resolve(&source, &user).await;
        match (resolved, expect) {
            (Ok(_), None) => {}
            (Err(error), Some(expect)) => assert!(chain(&error).contains(expect), "{}", chain(&error)),
            (got, expect) => panic!("{got:?}, not {expect:?}"),
        }
    }
}
