//! What is typed, and the request that it becomes.

use std::collections::BTreeMap;
use std::io::Cursor;

use clap::Parser;
use kiln_engine::BuildFile;
use kiln_engine::Context;
use kiln_engine::NamedContext;
use kiln_export::Output;
use tempfile::TempDir;

use super::ArgError;
use super::BuildArgs;
use super::Prepared;
use super::Surroundings;

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    build: BuildArgs,
}

/// A directory with a context, and what is around the command in it.
fn around(env: &[(&str, &str)], stdin: &[u8]) -> (TempDir, Surroundings) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").expect("a file");
    std::fs::write(dir.path().join("secret"), "hidden").expect("a file");
    let env: BTreeMap<_, _> = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let directory = dir.path().to_owned();
    let stdin = Box::new(Cursor::new(stdin.to_vec()));
    (
        dir,
        Surroundings {
            temporary: directory.clone(),
            directory,
            env,
            stdin,
        },
    )
}

fn prepare(line: &str, env: &[(&str, &str)], stdin: &[u8]) -> (TempDir, Result<Prepared, ArgError>) {
    let typed = Typed::try_parse_from(["kiln"].into_iter().chain(line.split_whitespace())).expect(line);
    let (dir, mut around) = around(env, stdin);
    let prepared = Prepared::new(&typed.build, None, &mut around);
    (dir, prepared)
}

#[track_caller]
fn request(line: &str, env: &[(&str, &str)]) -> Prepared {
    prepare(line, env, b"")
        .1
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refused(line: &str, expected: &str) {
    let error = prepare(line, &[], b"").1.map(|_| ()).expect_err(line).to_string();
    assert!(error.contains(expected), "{line}: {error}");
}

#[test]
fn build_arguments_come_from_the_environment() {
    let env = [("A", "1"), ("SOURCE_DATE_EPOCH", "42")];
    let request = request("--build-arg A --build-arg B --build-arg C=x=y .", &env).request;
    let pairs: Vec<String> = request.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(pairs, ["A=1", "C=x=y", "SOURCE_DATE_EPOCH=42"]);
    assert_eq!(request.epoch, Some(42));
}

#[test]
fn options_have_buildkits_names() {
    let line = "--network host --add-host a:1.2.3.4 --shm-size 64m --ulimit nofile=1:2 --memory 1g --memory-swap -1 .";
    let request = request(line, &[]).request;
    let pairs: Vec<String> = request.options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let expected = [
        "force-network-mode=host",
        "add-hosts=a=1.2.3.4",
        "shm-size=67108864",
        "ulimit=nofile=1:2",
        "memory=1073741824",
        "memswap=-1",
    ];
    assert_eq!(pairs, expected);
    assert_eq!(request.entitlements.len(), 1);
}

#[test]
fn results_land_in_the_store_unless_said_otherwise() {
    let image = |line: &str| match request(line, &[]).request.outputs.as_slice() {
        [Output::Image(image)] => (image.store, image.push),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(image("."), (true, false));
    assert_eq!(image("--load ."), (true, false));
    assert_eq!(image("--push -t a ."), (true, true));
    assert_eq!(image("-o type=registry -t a ."), (false, true));
    assert_eq!(request("-o out --load .", &[]).request.outputs.len(), 2);
}

#[test]
fn standard_input_is_an_archive_or_a_build_file() {
    let (_dir, text) = prepare("-", &[], b"FROM scratch\n");
    let request = text.expect("a request").request;
    assert_eq!(request.context, Context::Empty);
    assert!(matches!(request.build_file, BuildFile::Inline { data, .. } if *data == *b"FROM scratch\n"));
    let (_dir, archive) = prepare("-f d/File -", &[], b"\x1f\x8b\x08rest");
    let prepared = archive.expect("a request");
    let Context::Archive(path) = &prepared.request.context else {
        panic!("{:?}", prepared.request.context)
    };
    assert_eq!(std::fs::read(path).expect("the spool"), b"\x1f\x8b\x08rest");
    assert_eq!(prepared.request.build_file.name(), "d/File");
}

#[test]
fn secrets_are_read_and_never_shown() {
    let line = "--secret id=a,src=secret --secret id=b,env=B --secret id=C .";
    let request = request(line, &[("B", "2"), ("C", "3")]).request;
    let values: Vec<&[u8]> = request.secrets.values().map(|secret| &*secret.0).collect();
    assert_eq!(values, [&b"3"[..], b"hidden", b"2"]);
    assert!(!format!("{request:?}").contains("hidden"));
}

#[test]
fn wrong_use_is_named() {
    refused("--builder=far .", "`--builder` is not supported yet");
    refused(
        "https://example.com/x.git?tag=a&branch=b",
        "branch conflicts with tag",
    );
    refused(
        "--build-context a=https://u:hunter2@h/x.git?no=1 .",
        "`https://xxxxx:xxxxx@h/x.git?no=1`: unexpected query \"no\"",
    );
    refused(
        "--cache-from type=loca,src=x .",
        "invalid value `type=loca,src=x` for `--cache-from`",
    );
    refused("missing", "path \"missing\" not found");
    refused("--push .", "tag is needed when pushing to registry");
    refused("-t Upper .", "invalid tag \"Upper\"");
    refused("--shm-size many .", "expected bytes");
    refused("--ulimit nofile=2:1 .", "less than or equal to hard limit");
    refused("--secret src=x .", "secret missing ID");
    refused("--allow everything .", "expected network.host");
    refused("--network bridge .", "expected default, none or host");
    refused("-f - -", "can't use stdin for both");
    refused(
        "--iidfile x -o type=local,dest=y .",
        "incompatible with image ID file",
    );
    refused("--ssh default=missing .", "cannot use `");
    refused("--ssh default .", "invalid empty ssh agent socket");
    assert!(prepare("--sbom=false --provenance=false .", &[], b"").1.is_ok());
}

#[test]
fn times_that_are_no_numbers_are_left_to_the_frontend() {
    for value in ["context", "stage", ""] {
        let line = format!("--build-arg SOURCE_DATE_EPOCH={value} .");
        let request = request(&line, &[]).request;
        assert_eq!(request.epoch, None, "{value}");
        assert_eq!(request.args, [("SOURCE_DATE_EPOCH".to_owned(), value.to_owned())]);
    }
}

#[test]
fn docker_has_a_default_platform() {
    let platforms = |line: &str| {
        let env = [("DOCKER_DEFAULT_PLATFORM", "linux/arm64")];
        let request = request(line, &env).request;
        let names: Vec<String> = request.platforms.iter().map(ToString::to_string).collect();
        names.join(" ")
    };
    assert_eq!(platforms("."), "linux/arm64");
    assert_eq!(
        platforms("--platform linux/s390x,linux/arm/v7 ."),
        "linux/s390x linux/arm/v7"
    );
}

#[test]
fn flags_that_buildx_warns_of_are_warned_of() {
    let line = "--compress --squash --isolation=hyperv --security-opt a --rm=false --force-rm .";
    let typed = Typed::try_parse_from(["kiln"].into_iter().chain(line.split_whitespace())).expect(line);
    assert_eq!(typed.build.later.unused().len(), 5);
    let typed = Typed::try_parse_from(["kiln", "--rm", "--force-rm", "."]).expect("flags");
    assert!(typed.build.later.unused().is_empty());
}

#[test]
fn hosts_are_listed_with_commas_too() {
    let request = request("--add-host a:1.2.3.4,b=[::1] --add-host c:host-gateway .", &[]).request;
    let hosts = &request.options[0];
    assert_eq!(hosts.1, "a=1.2.3.4,b=::1,c=192.0.0.8");
    refused("--add-host a:b .", "expected `NAME:IP` or `NAME:host-gateway`");
}

#[test]
fn typos_are_explained() {
    let error = Typed::try_parse_from(["kiln", "--taget", "x", "."])
        .expect_err("a typo")
        .to_string();
    assert!(error.contains("a similar argument exists: '--target'"), "{error}");
}

#[test]
fn annotations_name_their_document() {
    let line = "--annotation index,manifest:a=b --annotation org.x:y=c .";
    let outputs = request(line, &[]).request.outputs;
    let format = outputs[0].format().expect("a format");
    let shown: Vec<String> = format
        .annotations
        .iter()
        .map(|a| format!("{:?} {}={}", a.level, a.key, a.value))
        .collect();
    assert_eq!(shown, ["Index a=b", "Manifest a=b", "Manifest org.x:y=c"]);
}

#[test]
fn contexts_from_elsewhere() {
    let check = |line: &str, context: &Context, file: &BuildFile| {
        let request = request(line, &[]).request;
        assert_eq!((&request.context, &request.build_file), (context, file), "{line}");
    };
    let remote = |url: &str| Context::Remote(url.to_owned());
    let inside = |name: &str| BuildFile::InContext {
        name: name.to_owned(),
    };
    let url = "https://example.com/x.git#v1:dir";
    check(url, &remote(url), &inside("Dockerfile"));
    check(&format!("-f a/b {url}"), &remote(url), &inside("a/b"));
    check(
        "git@example.com:x",
        &remote("git@example.com:x"),
        &inside("Dockerfile"),
    );
    check("github.com/a/b", &remote("github.com/a/b"), &inside("Dockerfile"));
    let archive = "https://example.com/x.tar.gz";
    check(archive, &remote(archive), &inside("Dockerfile"));
    let file = BuildFile::Remote("https://example.com/Dockerfile".to_owned());
    check(
        &format!("-f https://example.com/Dockerfile {archive}"),
        &remote(archive),
        &file,
    );
    let named = request("--build-context a=https://example.com/x.git .", &[])
        .request
        .contexts;
    let expect = NamedContext::Remote("https://example.com/x.git".to_owned());
    assert_eq!(named, [("a".to_owned(), expect)]);
}

#[test]
fn agents_are_lent_for_contexts_that_need_them() {
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let env = [("SSH_AUTH_SOCK", path.to_str().unwrap())];
    let lent = |line: &str| request(line, &env).request.ssh.into_keys().collect::<Vec<_>>();
    assert_eq!(lent("git@example.com:x"), ["default"]);
    assert_eq!(lent("https://example.com/x.git"), Vec::<String>::new());
    assert!(request("git@example.com:x", &[]).request.ssh.is_empty());
}
