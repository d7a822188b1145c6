//! Contexts that are not what one expects: odd files, odd names, links in circles, files that change, and many of them.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::Running;
use kiln_tests::support::run;
use kiln_tests::support::tool;

use crate::root;
use crate::unprivileged::User;

/// Builds and exports the files to a directory, which is returned.
fn files(kiln: &Kiln, project: &Project, args: &[&str]) -> std::path::PathBuf {
    let out = kiln.path("out");
    let output = format!("type=local,dest={}", out.display());
    let _ok = kiln
        .build(project.path(), &[args, &["-o", &output]].concat())
        .ok();
    out
}

#[test]
fn sockets_pipes_devices_and_sparse_files_are_copied_as_docker_copies_them() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY odd /odd\n").file("odd/plain", "x");
    let _socket = UnixListener::bind(project.join("odd/socket")).expect("a socket can be made");
    let path = |name: &str| project.join("odd").join(name).display().to_string();
    let _none = tool("mkfifo", &["-m", "640", &path("pipe")]);
    let devices = run_quietly("mknod", &["-m", "600", &path("null"), "c", "1", "3"]);
    if !devices {
        eprintln!("devices are not tested: only root can make them");
    }
    let sparse = std::fs::File::create(project.join("odd/sparse")).expect("a file can be made");
    sparse.set_len(256 << 20).expect("it can have a hole");
    let out = files(&kiln, &project, &[]).join("odd");
    let meta = |name: &str| {
        let path = out.join(name);
        path.symlink_metadata()
            .unwrap_or_else(|e| panic!("`{name}` is missing: {e}"))
    };
    let socket = meta("socket");
    assert!(socket.is_file() && socket.len() == 0, "{socket:?}");
    let pipe = meta("pipe");
    assert!(
        pipe.file_type().is_fifo() && pipe.mode() & 0o777 == 0o640,
        "{pipe:?}"
    );
    assert_eq!(meta("sparse").len(), 256 << 20);
    if devices {
        let null = meta("null");
        assert!(
            null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3),
            "{null:?}"
        );
    }
    // A pipe that nobody writes to must not be waited for, as source, Dockerfile or `.dockerignore`.
    let _none = tool("mkfifo", &[&project.join(".dockerignore").display().to_string()]);
    let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
    assert!(outcome.stderr.contains(".dockerignore"), "{}", outcome.report());
    std::fs::remove_file(project.join(".dockerignore")).expect("it is there");
    std::fs::remove_file(project.join("Dockerfile")).expect("it is there");
    let _none = tool("mkfifo", &[&project.join("Dockerfile").display().to_string()]);
    let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
    assert!(outcome.stderr.contains("Dockerfile"), "{}", outcome.report());
}

fn run_quietly(name: &str, args: &[&str]) -> bool {
    let mut command = std::process::Command::new(name);
    command.args(args);
    run(command).code() == Some(0)
}

#[test]
fn names_are_bytes() {
    let names: [&[u8]; 7] = [
        b"caf\xe9",
        b"\xff\xfe",
        b"two\nlines",
        b"tab\there",
        b"back\\slash",
        "日本語".as_bytes(),
        b" spaces ",
    ];
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY . /all/\nCOPY two* back* /some/\n")
        .file(".dockerignore", "Dockerfile\n.dockerignore\n**/ignored*\n");
    for name in names {
        let path = project.path().join(OsStr::from_bytes(name));
        std::fs::write(path, name).expect("a file can be written");
    }
    let ignored = project.path().join(OsStr::from_bytes(b"ignored\xe9"));
    std::fs::write(ignored, "x").expect("a file can be written");
    let out = files(&kiln, &project, &[]);
    let mut found: Vec<Vec<u8>> = std::fs::read_dir(out.join("all"))
        .expect("it is a directory")
        .map(|entry| entry.expect("it can be read").file_name().as_bytes().to_vec())
        .collect();
    found.sort();
    let mut wanted = names.map(<[u8]>::to_vec);
    wanted.sort();
    assert_eq!(found, wanted);
    for name in names {
        let content = std::fs::read(out.join("all").join(OsStr::from_bytes(name))).expect("it is there");
        assert_eq!(content, name);
    }
    assert!(out.join("some").join(OsStr::from_bytes(b"two\nlines")).is_file());
    // The second build knows all digests; the result is the same.
    let again = kiln.build(project.path(), &["-o", "type=cacheonly"]).ok();
    assert!(again.stderr.contains("CACHED"), "{}", again.report());
}

#[test]
fn links_in_circles_are_kept_and_never_followed_for_ever() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY . /all/\n").file("dir/file", "x");
    let link = |target: &str, name: &str| symlink(target, project.join(name)).expect("a link can be made");
    link("b", "a");
    link("a", "b");
    link("self", "self");
    link(".", "dir/here");
    link("../dir", "dir/up");
    link("/dir", "absolute");
    let out = files(&kiln, &project, &[]).join("all");
    for (name, target) in [
        ("a", "b"),
        ("b", "a"),
        ("self", "self"),
        ("dir/here", "."),
        ("dir/up", "../dir"),
        ("absolute", "/dir"),
    ] {
        let found = std::fs::read_link(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found, Path::new(target), "{name}");
    }
    for source in ["a", "self", "self/x", "a/x"] {
        project.write(
            "Dockerfile",
            format!("FROM scratch\nCOPY {source} /x\n").as_bytes(),
        );
        let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
        assert!(
            outcome.stderr.contains("--> Dockerfile:2:1") && outcome.stderr.contains(source),
            "{}",
            outcome.report()
        );
    }
    for source in ["dir/here/here/up/file", "absolute/file"] {
        project.write(
            "Dockerfile",
            format!("FROM scratch\nCOPY {source} /x\n").as_bytes(),
        );
        let _ok = kiln.build(project.path(), &["-o", "type=cacheonly"]).ok();
    }
}

/// The archive is written to a pipe that nobody empties: the build stands still after it has listed and hashed the
/// context, with the last file not yet read.
fn changed_meanwhile(change: impl Fn(&Path)) -> Outcome {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY data /data\n").file("data/z", &"old ".repeat(1000));
    project.write("data/a", &vec![7; 16 << 20]);
    // Only files that are older than the clock's step are known to be as they were.
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(project.join("data/z"));
    file.and_then(|file| file.set_modified(old))
        .expect("the time can be set");
    let mut command = kiln.command(&kiln.build_args(project.path(), &["-o", "type=tar,dest=-"]));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let mut child = command.spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut first = [0];
    stdout.read_exact(&mut first).expect("the archive starts");
    change(&project.join("data/z"));
    let mut rest = Vec::new();
    let _cut = stdout.read_to_end(&mut rest);
    let mut stderr = String::new();
    let _text = child
        .stderr
        .take()
        .expect("it is piped")
        .read_to_string(&mut stderr);
    Outcome {
        shown,
        status: child.wait().ok(),
        stdout: Vec::new(),
        stderr,
        time: Duration::ZERO,
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_fails_the_build_by_name() {
    let said = "changed while the context was read";
    let check = |change: fn(&Path)| {
        let outcome = changed_meanwhile(change).exits(1).says(said);
        assert!(outcome.stderr.contains("data/z"), "{}", outcome.report());
    };
    // The same length, so that only the time tells.
    check(|path| std::fs::write(path, "new ".repeat(1000)).expect("it can be written"));
    check(|path| {
        let other = path.with_extension("new");
        std::fs::write(&other, "new ".repeat(1000)).expect("it can be written");
        std::fs::rename(other, path).expect("it can be replaced");
    });
    check(|path| std::fs::remove_file(path).expect("it can be removed"));
    let _fine = changed_meanwhile(|_| {}).ok();
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let project = Project::new("FROM scratch\nCOPY fine /\n")
        .file("fine", "x")
        .file("locked/secret", "x");
    let mode = |name: &str, mode| {
        std::fs::set_permissions(project.join(name), PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    let build = |dockerfile: &str| {
        project.write("Dockerfile", dockerfile.as_bytes());
        let kiln = Kiln::new();
        let args = kiln.build_args(project.path(), &["-o", "type=cacheonly"]);
        run(User::without_namespaces().command(&kiln, &[project.path()], &args))
    };
    mode("locked/secret", 0o000);
    // What is not copied need not be readable.
    let _ok = build("FROM scratch\nCOPY fine /\n").ok();
    let outcome = build("FROM scratch\nCOPY locked /\n").exits(1);
    for part in ["locked/secret", "Permission denied"] {
        assert!(outcome.stderr.contains(part), "`{part}`\n{}", outcome.report());
    }
    mode("locked", 0o000);
    let outcome = build("FROM scratch\nCOPY . /\n").exits(1);
    for part in ["locked", "Permission denied"] {
        assert!(outcome.stderr.contains(part), "`{part}`\n{}", outcome.report());
    }
    mode("locked", 0o755);
}

#[test]
fn secrets_that_are_not_there() {
    let kiln = Kiln::new();
    let busybox = root("busybox");
    let build = |mount: &str, run: &str, args: &[&str]| {
        let project = Project::new(&format!("FROM busybox\nRUN --mount=type=secret,{mount} {run}\n"));
        let always = ["--build-context", &busybox, "-o", "type=cacheonly"];
        kiln.build(project.path(), &[args, &always].concat())
    };
    let _file = build("id=a", "test ! -e /run/secrets/a", &[]).ok();
    let _variable = build("id=a,env=A", "test -z \"${A+set}\"", &[]).ok();
    for mount in ["id=a,required", "id=a,env=A,required=true"] {
        let outcome = build(mount, "true", &[]).exits(1).says("secret a: not found");
        assert!(
            outcome.stderr.contains("--> Dockerfile:2:1"),
            "{}",
            outcome.report()
        );
    }
    let _other = build("id=a,required", "true", &["--secret", "id=b,src=/dev/null"])
        .exits(1)
        .says("secret a: not found");
    let _ssh = kiln
        .build(
            Project::new("FROM busybox\nRUN --mount=type=ssh,required true\n").path(),
            &["--build-context", &busybox, "-o", "type=cacheonly"],
        )
        .exits(1)
        .says("--ssh default");
    let missing = build("id=a", "true", &["--secret", "id=a,src=/no/such/file"]);
    assert!(matches!(missing.code(), Some(1 | 2)), "{}", missing.report());
    let _named = missing.says("/no/such/file");
    let unset = build("id=a", "true", &["--secret", "id=a,env=NO_SUCH_VARIABLE"]);
    assert!(matches!(unset.code(), Some(1 | 2)), "{}", unset.report());
    let _named = unset.says("NO_SUCH_VARIABLE");
}

/// Runs a command and returns the most memory that it had, in KiB.
fn peak_memory(mut running: Running) -> (Outcome, u64) {
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while !running.ended() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(now.unwrap_or_default());
        std::thread::sleep(Duration::from_millis(2));
    }
    (running.wait(Duration::from_secs(1)), peak)
}

#[test]
fn a_directory_of_very_many_entries_needs_little_memory() {
    const ENTRIES: usize = 200_000;
    // Twice what it needs: about 1 KiB an entry, and 150 MiB for everything else.
    const MOST_KIB: u64 = 600 << 10;
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY many /many\n");
    std::fs::create_dir(project.join("many")).expect("a directory can be made");
    let empty = project.join("many/empty");
    std::fs::write(&empty, "").expect("a file can be written");
    for at in 0..ENTRIES {
        let path = project.join(&format!("many/entry-{at:07}"));
        // Links are made faster than files, and are entries as good as any.
        match at % 4 {
            0 => drop(std::fs::File::create(path).expect("a file can be made")),
            _ => symlink("empty", path).expect("a link can be made"),
        }
    }
    let args = kiln.build_args(project.path(), &["-o", "type=cacheonly"]);
    let (outcome, peak) = peak_memory(kiln.start(&args));
    let _ok = outcome.ok();
    assert!(peak > 0 && peak < MOST_KIB, "{peak} KiB");
    project.write(".dockerignore", b"many/entry-*\n");
    let out = files(&kiln, &project, &[]);
    assert_eq!(
        std::fs::read_dir(out.join("many")).expect("it is there").count(),
        1
    );
}
