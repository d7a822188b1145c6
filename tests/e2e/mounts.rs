//! Every key of `RUN --mount`, tried out: what it does, and what is said of a wrong one.

use std::os::unix::net::UnixListener;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

/// What comes before a row's lines.
const HEAD: &str = "# syntax=docker/dockerfile:1
FROM busybox AS other
RUN mkdir /made && echo from other > /made/f
FROM busybox
ENV NAME=named
WORKDIR /w
";

/// A context, a store and an agent's socket.
struct Place {
    kiln: Kiln,
    project: Project,
    busybox: String,
    agent: String,
    _listener: UnixListener,
}

impl Place {
    fn new() -> Self {
        let kiln = Kiln::new().env("TOKEN", "from-env");
        let socket = kiln.path("agent.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        std::fs::write(kiln.path("secret"), "from-file").expect("a file");
        let project = Project::new("").file("file", "content\n").file("sub/f", "deep\n");
        Self {
            agent: socket.display().to_string(),
            busybox: root("busybox"),
            kiln,
            project,
            _listener: listener,
        }
    }

    fn build(&self, lines: &str) -> Outcome {
        self.project
            .write("Dockerfile", format!("{HEAD}{lines}\n").as_bytes());
        let file = format!("id=file,src={}", self.kiln.path("secret").display());
        let (one, two) = (format!("default={}", self.agent), format!("other={}", self.agent));
        let mut args = vec![
            "--network=none",
            "--build-context",
            &self.busybox,
            "-o",
            "type=cacheonly",
        ];
        args.extend([
            "--secret",
            &file,
            "--secret",
            "id=token,env=TOKEN",
            "--ssh",
            &one,
            "--ssh",
            &two,
        ]);
        self.kiln.build(self.project.path(), &args)
    }

    #[track_caller]
    fn all(&self, rows: &[(&str, &str)], code: i32) {
        let mut wrong = String::new();
        for (lines, expected) in rows {
            let outcome = self.build(lines);
            let text = outcome.all();
            if outcome.code() != Some(code) || !text.contains(expected) {
                wrong += &format!("--- {lines}\nexpected exit code {code} and `{expected}`\n{text}\n");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn bind_and_tmpfs_mounts() {
    Place::new().all(
        &[
            ("RUN --mount=target=/ctx cat /ctx/file /ctx/sub/f", "deep"),
            ("RUN --mount=type=bind,target=/ctx ! touch /ctx/new && echo it is read-only", "it is read-only"),
            ("RUN --mount=target=/ctx,rw touch /ctx/new && echo was written\nRUN --mount=target=/ctx ls /ctx && test ! -e /ctx/new", "was written"),
            ("RUN --mount=target=/ctx,readwrite touch /ctx/new && echo was written", "was written"),
            ("RUN --mount=target=/ctx,ro=false touch /ctx/new && echo was written", "was written"),
            ("RUN --mount=target=/ctx,readonly=0 touch /ctx/new && echo was written", "was written"),
            ("RUN --mount=target=/ctx,rw=false ! touch /ctx/new && echo it is read-only", "it is read-only"),
            ("RUN --mount=target=/ctx,readonly ! touch /ctx/new && echo it is read-only", "it is read-only"),
            ("RUN --mount=target=/ctx,ro ! touch /ctx/new && echo it is read-only", "it is read-only"),
            ("RUN --mount=source=sub,target=/s cat /s/f", "deep"),
            ("RUN --mount=src=sub/f,dst=/one cat /one", "deep"),
            ("RUN --mount=source=/sub,destination=/s cat /s/./f", "deep"),
            ("RUN --mount=from=other,source=/made,target=/m cat /m/f", "from other"),
            ("RUN --mount=from=busybox,target=/m ls /m/bin/sh", "/m/bin/sh"),
            ("RUN --mount=target=rel cat /w/rel/file && pwd", "/w"),
            ("RUN --mount=target=/$NAME cat /named/file", "content"),
            ("RUN --mount=TARGET=/ctx cat /ctx/file", "content"),
            ("RUN --mount=target=/a/b/c true\nRUN ! test -e /a && echo no stub is left", "no stub is left"),
            ("RUN --mount=target=/ctx --mount=target=/ctx/sub,type=tmpfs ls -A /ctx/sub && echo one in another", "one in another"),
            ("RUN --mount=type=tmpfs,target=/t touch /t/x && grep ' /t tmpfs rw' /proc/mounts\nRUN ! test -e /t && echo gone", "gone"),
            ("RUN --mount=type=tmpfs,target=/t,size=1m ! dd if=/dev/zero of=/t/x bs=64k count=32 2>&1", "No space left"),
            ("RUN --mount=type=tmpfs,target=/t,size=64K df -k /t | tail -1", " 64 "),
            ("RUN --mount=type=tmpfs,target=/t,ro ! touch /t/x && echo it is read-only", "it is read-only"),
            ("RUN --mount=type=tmpfs,target=/t stat -c 'is %a' /t", "is 1777"),
        ],
        0,
    );
}

#[test]
fn cache_mounts() {
    Place::new().all(
        &[
            ("RUN --mount=type=cache,target=/c echo kept > /c/x\nRUN --mount=type=cache,target=/c cat /c/x\nRUN ! test -e /c && echo outside", "kept"),
            ("RUN --mount=type=cache,id=i,target=/c2 echo by id > /c2/x\nRUN --mount=type=cache,id=i,target=/elsewhere cat /elsewhere/x", "by id"),
            ("RUN --mount=type=cache,target=/c3 echo by target > /c3/x\nRUN --mount=type=cache,id=/c3,target=/elsewhere cat /elsewhere/x", "by target"),
            ("RUN --mount=type=cache,target=/c4/./x/ echo cleaned > /c4/x/y\nRUN --mount=type=cache,id=/c4/x,target=/e cat /e/y", "cleaned"),
            ("RUN --mount=type=cache,target=/c5,ro ! touch /c5/x && echo it is read-only", "it is read-only"),
            ("RUN --mount=type=cache,target=/c6,mode=0700,uid=5,gid=6 stat -c 'is %a %u %g' /c6", "is 700 5 6"),
            ("RUN --mount=type=cache,target=/c7 stat -c 'is %a %u %g' /c7", "is 755 0 0"),
            ("RUN --mount=type=cache,target=/c8,uid=7 stat -c 'is %a %u %g' /c8", "is 755 7 0"),
            ("RUN --mount=type=cache,target=/c9,from=other,source=/made cat /c9/f && rm /c9/f\nRUN --mount=type=cache,target=/c9,from=other,source=/made ! test -e /c9/f && echo only once", "only once"),
            ("RUN --mount=type=cache,target=/c10,sharing=locked touch /c10/x\nRUN --mount=type=cache,target=/c10,sharing=shared ls /c10/x", "/c10/x"),
            ("RUN --mount=type=cache,target=/c11,sharing=private touch /c11/x\nRUN --mount=type=cache,target=/c11,sharing=private ls /c11/x", "/c11/x"),
            ("RUN --mount=type=cache,target=rel touch /w/rel/x\nRUN --mount=type=cache,id=rel,target=/e ls /e/x", "/e/x"),
            ("RUN --mount=type=cache,target=/$NAME touch /named/x\nRUN --mount=type=cache,id=/named,target=/e ls /e/x", "/e/x"),
        ],
        0,
    );
}

#[test]
fn secret_mounts() {
    Place::new().all(
        &[
            ("RUN --mount=type=secret,id=file wc -c < /run/secrets/file && stat -c 'is %a %u %g' /run/secrets/file", "is 400 0 0"),
            ("RUN --mount=type=secret,id=file ! sh -c 'echo x > /run/secrets/file' && echo it is read-only", "it is read-only"),
            ("RUN --mount=type=secret,id=file,target=/s,mode=0444,uid=5,gid=6 wc -c < /s && stat -c 'is %a %u %g' /s", "is 444 5 6"),
            ("RUN --mount=type=secret,source=file,target=/s test $(wc -c < /s) = 9 && echo nine", "nine"),
            ("RUN --mount=type=secret,target=/x/file test $(wc -c < /x/file) = 9 && echo nine", "nine"),
            ("RUN --mount=type=secret,id=token test $(wc -c < /run/secrets/token) = 8 && echo eight", "eight"),
            ("RUN --mount=type=secret,id=token,env=T test ${#T} = 8 && test ! -e /run/secrets/token && echo eight", "eight"),
            ("RUN --mount=type=secret,id=token,env=T,target=/t test ${#T} = 8 && test $(wc -c < /t) = 8 && echo eight", "eight"),
            ("RUN --mount=type=secret,id=file,required cat /run/secrets/file > /dev/null && echo there", "there"),
            ("RUN --mount=type=secret,id=none ! test -e /run/secrets/none && echo without", "without"),
            ("RUN --mount=type=secret,id=none,env=N test -z \"${N+x}\" && echo without", "without"),
            ("RUN --mount=type=secret,id=none,required=false ! test -e /run/secrets/none && echo without", "without"),
            ("RUN --mount=type=secret,id=file true\nRUN ! test -e /run/secrets && echo gone", "gone"),
        ],
        0,
    );
}

#[test]
fn ssh_mounts() {
    Place::new().all(
        &[
            ("RUN --mount=type=ssh stat -c 'is %a %u %g %F' $SSH_AUTH_SOCK && echo at $SSH_AUTH_SOCK", "at /run/buildkit/ssh_agent.0"),
            ("RUN --mount=type=ssh stat -c 'is %a %u %g %F' $SSH_AUTH_SOCK", "is 600 0 0 socket"),
            ("RUN --mount=type=ssh,target=/agent,mode=0666,uid=5,gid=6 stat -c 'is %a %u %g' /agent", "is 666 5 6"),
            ("RUN --mount=type=ssh --mount=type=ssh,id=other test -S /run/buildkit/ssh_agent.1 && echo two", "two"),
            ("RUN --mount=type=ssh,id=default,required test -S $SSH_AUTH_SOCK && echo there", "there"),
            ("RUN --mount=type=ssh,id=none ! test -e $SSH_AUTH_SOCK && echo without", "without"),
        ],
        0,
    );
}

/// What is wrong, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    (
        "RUN --mount=type=bind,target=/ true",
        "invalid mount target \"/\"",
    ),
    (
        "RUN --mount=type=cache,target=.. true",
        "invalid mount target \"/\"",
    ),
    (
        "RUN --mount=type=tmpfs,target=/ true",
        "invalid mount target \"/\"",
    ),
    (
        "RUN --mount=target=/x,mode=0700 true",
        "mode not allowed for \"bind\" type mounts",
    ),
    (
        "RUN --mount=target=/x,uid=1 true",
        "uid not allowed for \"bind\" type mounts",
    ),
    (
        "RUN --mount=target=/x,gid=1 true",
        "gid not allowed for \"bind\" type mounts",
    ),
    (
        "RUN --mount=type=tmpfs,target=/x,mode=0700 true",
        "mode not allowed for \"tmpfs\" type mounts",
    ),
    (
        "RUN --mount=target=/x,required true",
        "unexpected key 'required' for mount type 'bind'",
    ),
    (
        "RUN --mount=type=cache,target=/x,required=true true",
        "unexpected key 'required' for mount type 'cache'",
    ),
    (
        "RUN --mount=type=tmpfs,target=/x,required true",
        "unexpected key 'required' for mount type 'tmpfs'",
    ),
    (
        "RUN --mount=target=/x,size=1 true",
        "unexpected key 'size' for mount type 'bind'",
    ),
    (
        "RUN --mount=type=cache,target=/x,size=1 true",
        "unexpected key 'size' for mount type 'cache'",
    ),
    (
        "RUN --mount=type=tmpfs,target=/x,size=many true",
        "invalid value for size: many",
    ),
    (
        "RUN --mount=target=/x,sharing=locked true",
        "invalid cache sharing set for bind mount",
    ),
    (
        "RUN --mount=type=tmpfs,target=/x,sharing=locked true",
        "invalid cache sharing set for tmpfs mount",
    ),
    (
        "RUN --mount=type=ssh,sharing=locked true",
        "invalid cache sharing set for ssh mount",
    ),
    (
        "RUN --mount=type=cache,target=/x,sharing=all true",
        "unsupported sharing value \"all\"",
    ),
    (
        "RUN --mount=type=secret,id=file,sharing=locked true",
        "secret mount should not define sharing",
    ),
    (
        "RUN --mount=type=secret,id=file,from=other true",
        "secret mount should not have a from",
    ),
    (
        "RUN --mount=type=secret true",
        "invalid secret mount. one of source, target required",
    ),
    (
        "RUN --mount=type=secret,id=file,source=token true",
        "both source and id can't be set",
    ),
    (
        "RUN --mount=type=secret,id=none,required true",
        "secret none: not found",
    ),
    (
        "RUN --mount=type=secret,id=none,env=N,required=true true",
        "secret none: not found",
    ),
    (
        "RUN --mount=type=ssh,source=x true",
        "ssh does not support source",
    ),
    (
        "RUN --mount=type=ssh,id=none,required true",
        "unset ssh forward key none",
    ),
    (
        "RUN --mount=type=volume,target=/x true",
        "unsupported mount type \"volume\"",
    ),
    (
        "RUN --mount=type=cach,target=/x true",
        "unsupported mount type \"cach\" (did you mean cache?)",
    ),
    (
        "RUN --mount=target=/x,colour=red true",
        "unexpected key 'colour' in 'colour=red'",
    ),
    (
        "RUN --mount=targt=/x true",
        "unexpected key 'targt' in 'targt=/x' (did you mean target?)",
    ),
    (
        "RUN --mount=target=/x,fast true",
        "invalid field 'fast' must be a key=value pair",
    ),
    (
        "RUN --mount=target=/x,ro=maybe true",
        "invalid value for ro: maybe",
    ),
    (
        "RUN --mount=type=cache,target=/x,mode=rwx true",
        "invalid value rwx for mode",
    ),
    (
        "RUN --mount=type=cache,target=/x,uid=-1 true",
        "invalid value -1 for uid",
    ),
    (
        "RUN --mount=from=$NAME,target=/x true",
        "'from' doesn't support variable expansion, define alias stage instead",
    ),
    (
        "RUN --mount=source=nothing,target=/x true",
        "\"/nothing\": not found",
    ),
    (
        "RUN --mount=from=other,source=/nothing,target=/x true",
        "\"/nothing\": not found",
    ),
    ("RUN --mount=target=/bin/busybox true", "not a directory"),
];

#[test]
fn wrong_mounts() {
    Place::new().all(WRONG, 1);
}
