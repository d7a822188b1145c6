//! What is fuzzed. A target turns bytes into calls and asserts what must hold for every input.

pub(crate) mod dockerfile;
pub(crate) mod documents;
pub(crate) mod frontend;
pub(crate) mod graph;
pub(crate) mod heredocs;
pub(crate) mod layers;
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod patterns;
pub(crate) mod repositories;
pub(crate) mod words;

use kiln_tests::support::shared;

/// Returns the Dockerfiles of the shared parser tests.
pub(crate) fn shared_dockerfiles() -> Vec<Vec<u8>> {
    let dir = shared("conformance/parser/testfiles");
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()))
        .flatten()
        .map(|entry| entry.path().join("Dockerfile"))
        .collect();
    paths.sort();
    let files: Vec<_> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    assert!(!files.is_empty(), "no Dockerfiles in {}", dir.display());
    files
}

/// Returns values of one key of all objects in a list of shared cases.
pub(crate) fn shared_texts(file: &str, list: &str, key: &str) -> Vec<Vec<u8>> {
    let path = shared(file);
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let cases: serde_json::Value = serde_json::from_slice(&text).expect("shared data is JSON");
    let rows = cases[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(row[key].as_str()?.as_bytes().to_vec()))
        .collect();
    assert!(!texts.is_empty(), "no `{key}` in `{list}` of {}", path.display());
    texts
}

/// Dockerfile syntax, for mutations.
pub(crate) const DOCKERFILE_TOKENS: &[&[u8]] = &[
    b"FROM ",
    b"FROM busybox AS a\n",
    b"FROM scratch\n",
    b"RUN ",
    b"COPY ",
    b"ADD ",
    b"ENV ",
    b"ARG ",
    b"LABEL ",
    b"ONBUILD ",
    b"HEALTHCHECK ",
    b"CMD ",
    b"ENTRYPOINT ",
    b"EXPOSE ",
    b"VOLUME ",
    b"SHELL ",
    b"USER ",
    b"STOPSIGNAL ",
    b"WORKDIR ",
    b"MAINTAINER ",
    b"\n",
    b"\r\n",
    b"\\\n",
    b"`\n",
    b"# escape=`\n",
    b"# syntax=docker/dockerfile:1-labs\n",
    b"# check=skip=all;error=true\n",
    b"--from=a ",
    b"--from=0 ",
    b"--platform=$BUILDPLATFORM ",
    b"--mount=type=bind,from=a,target=/x ",
    b"--mount=type=cache,id=$a,target=/c ",
    b"--mount=type=secret,id=s,env=S ",
    b"--link ",
    b"--parents ",
    b"--exclude=* ",
    b"--chmod=u+x ",
    b"--chmod=0755 ",
    b"--chown=a:$b ",
    b"--checksum=sha256:",
    b"--keep-git-dir ",
    b"--network=none ",
    b"--security=insecure ",
    b"--device=a ",
    b"<<EOF ",
    b"<<-\"EOF\" ",
    b"\nEOF\n",
    b"[\"a\", \"b\"]",
    b"[",
    b"\"",
    b"'",
    b"${a:-b}",
    b"${a:+$b}",
    b"${a#*/}",
    b"${a/b/c}",
    b"$$",
    b"${",
    b"}",
    b"=",
    b":",
    b"/",
    b"..",
    b"/./",
    b"https://h/x.git#a:b",
    b"80-90/udp",
    b"--interval=1s",
    b"NONE",
    b"SOURCE_DATE_EPOCH=1",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
];
