//! Mounts, and what must not be left of them.

use super::Case;
use super::Fixture;
use kiln_exec::Access;
use kiln_exec::BindLimits;
use kiln_exec::Cancel;
use kiln_exec::Changes;
use kiln_exec::MountSource;
use kiln_exec::RootFs;
use kiln_exec::Step;
use kiln_exec::StepMount;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;
use std::time::SystemTime;

pub(super) const ALL: &[Case] = &[
    ("changes reach the upper directory", changes),
    ("a root without layers", no_layers),
    ("a directory as root", directory),
    ("a read-only root", read_only_root),
    ("the same directories twice", twice),
    ("many layers", many_layers),
    ("bind mounts", binds),
    ("a file in a mount", bound_file),
    ("overlay mounts", overlays),
    ("part of an overlay", selector),
    ("tmpfs mounts", tmpfs),
    ("secret files", secret),
    ("sockets", socket),
    ("mounts in mounts", nested),
    ("a mount through a link stays inside", link_inside),
    ("a dangling resolv.conf", dangling),
    ("mount points leave no trace", no_trace),
    ("what the step puts beside a mount point stays", beside),
    (
        "mount points on a read-only root leave no trace",
        no_trace_read_only,
    ),
    ("shared memory", shared_memory),
    ("a file on a directory", mismatch),
    ("a source that is missing", missing_source),
    ("no mount is left", no_mount_left),
];

fn mount(target: &str, source: MountSource) -> StepMount {
    StepMount {
        target: target.to_owned(),
        source,
    }
}

fn bind(f: &Fixture<'_>, name: &str, access: Access) -> MountSource {
    MountSource::Bind {
        source: f.path(name),
        access,
        limits: BindLimits::default(),
    }
}

fn with(mut step: Step, mounts: Vec<StepMount>) -> Step {
    step.mounts = mounts;
    step
}

fn changes(f: &Fixture<'_>) {
    fs::write(f.path("base/etc/old"), "old").expect("a file");
    f.check(
        f.script("echo new >/etc/new; rm /etc/old; mkdir /made; cat /etc/new"),
        "new",
    );
    assert_eq!(f.changes(), ["etc", "etc/new", "etc/old", "made"]);
    let whiteout = fs::symlink_metadata(f.path("upper/etc/old")).expect("a whiteout");
    assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
}

fn no_layers(f: &Fixture<'_>) {
    let mut step = f.step(&["/busybox", "sh", "-c", "echo x >/made"]);
    fs::copy(f.path("base/bin/busybox"), f.path("upper/busybox")).expect("busybox");
    step.root = RootFs::Overlay {
        lowers: Vec::new(),
        upper: f.path("upper"),
        work: f.path("work"),
    };
    f.check(step, "");
    assert_eq!(f.changes(), ["busybox", "made"]);
}

fn directory(f: &Fixture<'_>) {
    let mut step = f.script("echo x >/made; cat /made");
    step.root = RootFs::Directory { path: f.path("base") };
    f.check(step, "x");
    assert!(f.path("base/made").exists());
    assert!(
        !f.path("base/dev").exists() && !f.path("base/sys").exists() && !f.path("base/etc/hosts").exists()
    );
}

fn read_only_root(f: &Fixture<'_>) {
    let mut step = f.script("touch /made 2>/dev/null || echo refused; touch /tmp/x && echo fine");
    step.root_access = Access::ReadOnly;
    f.check(
        with(
            step,
            vec![mount(
                "/tmp",
                MountSource::Tmpfs {
                    size: None,
                    mode: 0o1777,
                    access: Access::ReadWrite,
                },
            )],
        ),
        "refused\nfine",
    );
}

fn twice(f: &Fixture<'_>) {
    f.check(f.script("echo a >/made"), "");
    f.check(f.script("cat /made; echo b >/more"), "a");
    assert_eq!(real_changes(f), ["made", "more"]);
}

fn many_layers(f: &Fixture<'_>) {
    let mut lowers = vec![f.path("base")];
    for number in 0..120 {
        let dir = f.dir(&format!("layers/a directory, with: strange\\ name {number}"));
        fs::write(dir.join(format!("file{number}")), "").expect("a file");
        fs::write(dir.join("top"), number.to_string()).expect("a file");
        lowers.push(dir);
    }
    let mut step = f.script("ls /file* | wc -l; cat /top");
    step.root = RootFs::Overlay {
        lowers,
        upper: f.path("upper"),
        work: f.path("work"),
    };
    f.check(step, "120\n119");
}

fn binds(f: &Fixture<'_>) {
    f.dir("one");
    f.dir("two");
    fs::write(f.path("one/a"), "a").expect("a file");
    let step = f.script("cat /m/one/a; echo b >/m/one/b; touch /m/two/c 2>/dev/null || echo refused");
    let mounts = vec![
        mount("/m/one", bind(f, "one", Access::ReadWrite)),
        mount("/m/two", bind(f, "two", Access::ReadOnly)),
    ];
    f.check(with(step, mounts), "arefused");
    assert!(f.path("one/b").exists());
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
}

fn bound_file(f: &Fixture<'_>) {
    fs::write(f.path("file"), "content").expect("a file");
    let step = f.script("cat /etc/deep/file");
    f.check(
        with(
            step,
            vec![mount("/etc/deep/file", bind(f, "file", Access::ReadOnly))],
        ),
        "content",
    );
    assert!(!f.path("upper/etc/deep").exists());
}

fn overlays(f: &Fixture<'_>) {
    for name in ["l1", "l2", "u", "w"] {
        f.dir(name);
    }
    fs::write(f.path("l1/a"), "1").expect("a file");
    fs::write(f.path("l2/a"), "2").expect("a file");
    let changes = Some(Changes {
        upper: f.path("u"),
        work: f.path("w"),
    });
    let lowers = vec![f.path("l1"), f.path("l2")];
    let writable = MountSource::Overlay {
        lowers: lowers.clone(),
        changes,
        selector: String::new(),
        access: Access::ReadWrite,
    };
    let lower = vec![f.path("l1")];
    let single = MountSource::Overlay {
        lowers: lower,
        changes: None,
        selector: String::new(),
        access: Access::ReadOnly,
    };
    let step = f.script("cat /m/a /n/a; echo 3 >/m/b; touch /n/b 2>/dev/null || echo refused");
    f.check(
        with(step, vec![mount("/m", writable), mount("/n", single)]),
        "21refused",
    );
    assert_eq!(fs::read_to_string(f.path("u/b")).expect("a change"), "3\n");
}

fn selector(f: &Fixture<'_>) {
    f.dir("l1/sub/dir");
    fs::write(f.path("l1/sub/dir/a"), "inside").expect("a file");
    symlink("/sub/dir", f.path("l1/link")).expect("a link");
    let part = |selector: &str| MountSource::Overlay {
        lowers: vec![f.path("l1")],
        changes: None,
        selector: selector.to_owned(),
        access: Access::ReadOnly,
    };
    let step = f.script("cat /m/a; cat /n/a; cat /file");
    let mounts = vec![
        mount("/m", part("/sub/dir")),
        mount("/n", part("link")),
        mount("/file", part("sub/dir/a")),
    ];
    f.check(with(step, mounts), "insideinsideinside");
}

fn tmpfs(f: &Fixture<'_>) {
    let step = f.script("stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'; touch /t/x && echo fine");
    let source = MountSource::Tmpfs {
        size: Some(1 << 20),
        mode: 0o1777,
        access: Access::ReadWrite,
    };
    f.check(with(step, vec![mount("/t", source)]), "1777\n1024\nfine");
}

fn secret(f: &Fixture<'_>) {
    let source = MountSource::File {
        content: b"hidden".as_slice().into(),
        mode: 0o400,
        uid: 5,
        gid: 6,
    };
    let step = f.script("cat /run/secrets/s; stat -c ' %a %u %g' /run/secrets/s; echo x 2>/dev/null >/run/secrets/s || echo refused");
    f.check(
        with(step, vec![mount("/run/secrets/s", source)]),
        "hidden 400 5 6\nrefused",
    );
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
}

fn socket(f: &Fixture<'_>) {
    let path = f.path("agent");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let source = MountSource::Socket {
        host_path: path,
        mode: 0o600,
        uid: 9,
        gid: 9,
    };
    let step = f.script("test -S /run/agent && stat -c '%a %u' /run/agent");
    f.check(with(step, vec![mount("/run/agent", source)]), "600 9");
    drop(listener);
}

fn nested(f: &Fixture<'_>) {
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    f.dir("cache");
    let mounts = vec![
        mount("/c", bind(f, "cache", Access::ReadWrite)),
        mount(
            "/c/t",
            MountSource::Tmpfs {
                size: None,
                mode: 0o755,
                access: Access::ReadWrite,
            },
        ),
        mount("/c/t/s", secret),
    ];
    f.check(with(f.script("cat /c/t/s"), mounts), "s");
    assert_eq!(fs::read_dir(f.path("cache")).expect("the cache").count(), 0);
}

fn link_inside(f: &Fixture<'_>) {
    let outside = f.dir("outside");
    symlink(&outside, f.path("base/abs")).expect("a link");
    symlink("../../../../../../../../../../../../tmp", f.path("base/etc/up")).expect("a link");
    let t = || MountSource::Tmpfs {
        size: None,
        mode: 0o755,
        access: Access::ReadWrite,
    };
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    let mounts = vec![
        mount("/abs/one", t()),
        mount("/etc/up/kiln-two", t()),
        mount("/abs/file", secret),
    ];
    f.check(
        with(f.script("ls -d /tmp/kiln-two; cat /abs/file"), mounts),
        "/tmp/kiln-two\ns",
    );
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
    assert!(!std::path::Path::new("/tmp/kiln-two").exists());
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
}

fn dangling(f: &Fixture<'_>) {
    symlink(
        "../run/systemd/resolve/stub-resolv.conf",
        f.path("base/etc/resolv.conf"),
    )
    .expect("a link");
    let mut step = f.script("cat /etc/resolv.conf; readlink /etc/resolv.conf");
    step.resolv_conf = Some(b"nameserver 1.2.3.4\n".to_vec());
    f.check(
        step,
        "nameserver 1.2.3.4\n../run/systemd/resolve/stub-resolv.conf",
    );
    assert!(!f.path("upper/run").exists());
}

/// What of the upper directory is more than an untouched copy of a directory below.
pub(super) fn real_changes(f: &Fixture<'_>) -> Vec<String> {
    let untouched = |name: &String| {
        let pair = (
            fs::symlink_metadata(f.path("upper").join(name)),
            fs::symlink_metadata(f.path("base").join(name)),
        );
        let (Ok(upper), Ok(lower)) = pair else {
            return false;
        };
        let facts = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        upper.is_dir() && facts(&upper) == facts(&lower)
    };
    f.changes().into_iter().filter(|name| !untouched(name)).collect()
}

fn old_times(f: &Fixture<'_>) {
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 123_456_789);
    for name in ["base/etc", "base/tmp", "base"] {
        fs::File::open(f.path(name))
            .and_then(|dir| dir.set_modified(old))
            .expect("a time");
    }
}

fn no_trace(f: &Fixture<'_>) {
    old_times(f);
    fs::File::open(f.path("upper"))
        .and_then(|dir| dir.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5)))
        .expect("a time");
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    let mounts = vec![
        mount(
            "/etc/a/b/c",
            MountSource::Tmpfs {
                size: None,
                mode: 0o755,
                access: Access::ReadWrite,
            },
        ),
        mount("/run/secrets/s", secret),
        mount(
            "/etc/a/b/d",
            MountSource::Tmpfs {
                size: None,
                mode: 0o755,
                access: Access::ReadWrite,
            },
        ),
    ];
    f.check(
        with(f.script("stat -c %Y /etc; cat /etc/hosts | wc -l"), mounts),
        "1000000\n2",
    );
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
    let root = fs::metadata(f.path("upper")).expect("upper");
    assert_eq!(root.mtime(), 5, "the root's time changed");
}

fn beside(f: &Fixture<'_>) {
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    f.check(
        with(
            f.script("echo x >/run/secrets/mine"),
            vec![mount("/run/secrets/s", secret)],
        ),
        "",
    );
    assert_eq!(real_changes(f), ["run", "run/secrets", "run/secrets/mine"]);
}

fn no_trace_read_only(f: &Fixture<'_>) {
    old_times(f);
    let mut step = f.script("cat /run/secrets/s; touch /run/x 2>/dev/null || echo refused");
    step.root_access = Access::ReadOnly;
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    f.check(with(step, vec![mount("/run/secrets/s", secret)]), "srefused");
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
}

fn shared_memory(f: &Fixture<'_>) {
    f.check(f.script("df -k /dev/shm | tail -1 | awk '{print $2}'"), "65536");
    let mut step = f.script("df -k /dev/shm | tail -1 | awk '{print $2}'; stat -c %a /dev/shm");
    step.shm_size = Some(4 << 20);
    f.check(step, "4096\n1777");
}

#[track_caller]
fn check_refused(f: &Fixture<'_>, mounts: Vec<StepMount>, texts: &[&str]) {
    let error = f
        .try_run(with(f.script("true"), mounts), Cancel::never())
        .expect_err("cannot be mounted")
        .to_string();
    for text in texts {
        assert!(error.contains(text), "{error:?} does not contain {text:?}");
    }
    assert!(real_changes(f).is_empty(), "{:?}", real_changes(f));
}

fn mismatch(f: &Fixture<'_>) {
    let secret = MountSource::File {
        content: b"s".as_slice().into(),
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    check_refused(f, vec![mount("/etc", secret)], &["/etc", "not a directory"]);
}

fn missing_source(f: &Fixture<'_>) {
    let source = bind(f, "nothing", Access::ReadOnly);
    check_refused(
        f,
        vec![mount("/m", source)],
        &["nothing", "no such file or directory"],
    );
}

fn no_mount_left(f: &Fixture<'_>) {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    f.check(f.script("true"), "");
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").expect("mounts"),
        before
    );
}
