//! The same input gives the same bytes.

use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use crate::root;
use crate::unprivileged::User;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;

const EPOCH: &str = "1700000000";

const DOCKERFILE: &str = "
FROM busybox AS build
WORKDIR /work
COPY . .
RUN cat one two/three > joined && mkdir -p deep/er && touch deep/er/file && ln joined hard && ln -s joined soft
FROM busybox
COPY --from=build /work /work
RUN date > /dev/null && echo done > /done && rm /bin/yes
LABEL made=here
";

fn project() -> Project {
    let project = Project::new(DOCKERFILE)
        .file("one", "1\n")
        .file("two/three", "3\n");
    project.write(
        "large",
        "a line that compresses well, but not to nothing\n"
            .repeat(200_000)
            .as_bytes(),
    );
    project
}

/// Sets the times of all files of a context to `time`.
fn touch(dir: &Path, time: SystemTime) {
    for entry in std::fs::read_dir(dir).expect("the context can be read").flatten() {
        if entry.path().is_dir() {
            touch(&entry.path(), time);
        } else {
            let file = std::fs::File::options()
                .append(true)
                .open(entry.path())
                .expect("a file can be opened");
            file.set_modified(time).expect("a time can be set");
        }
    }
}

#[track_caller]
fn archive(compression: &str, time: SystemTime, parallelism: &str) -> Vec<u8> {
    let kiln = Kiln::new()
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("KILN_MAX_PARALLELISM", parallelism);
    let project = project();
    touch(project.path(), time);
    let path = kiln.path("image.tar");
    let output = format!("type=oci,dest={},compression={compression}", path.display());
    let _built = kiln
        .build(
            project.path(),
            &["--build-context", &root("busybox"), "-o", &output],
        )
        .ok();
    std::fs::read(path).expect("the archive is there")
}

#[track_caller]
fn check(compression: &str) {
    let one = archive(
        compression,
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000),
        "1",
    );
    let two = archive(compression, SystemTime::now(), "4");
    let digest = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("a file can be written");
        let layout = Layout::open(file.path());
        layout.image().manifest["layers"].clone()
    };
    assert_eq!(digest(&one), digest(&two), "layers of two builds");
    assert!(
        one == two,
        "the archives of two builds differ, their layers do not"
    );
}

#[test]
fn gzip_archives_are_equal() {
    check("gzip");
}

#[test]
fn zstd_archives_are_equal() {
    check("zstd");
}

#[test]
fn uncompressed_archives_are_equal() {
    check("uncompressed");
}

#[test]
fn times_are_those_of_the_epoch() {
    let kiln = Kiln::new().env("SOURCE_DATE_EPOCH", EPOCH);
    let dir = kiln.path("image");
    let output = format!("type=oci,tar=false,dest={}", dir.display());
    let _built = kiln
        .build(
            project().path(),
            &["--build-context", &root("busybox"), "-o", &output],
        )
        .ok();
    let layout = Layout::open(&dir);
    let image = layout.image();
    assert_eq!(image.config["created"], "2023-11-14T22:13:20Z");
    for tar in layout.layers(&image).iter().skip(1) {
        let mut archive = tar::Archive::new(tar.as_slice());
        for entry in archive.entries().expect("a layer is a tar") {
            let header = entry.expect("a layer is a tar").header().clone();
            assert!(
                header.mtime().expect("a time") <= 1_700_000_000,
                "{:?} is newer than the epoch",
                header.path()
            );
        }
    }
}

#[test]
fn root_and_an_unprivileged_user_make_equal_layers() {
    let build = |user: Option<User>| {
        let kiln = Kiln::new();
        let project = project();
        touch(
            project.path(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000),
        );
        let out = kiln.path("out");
        std::fs::create_dir(&out).expect("a directory can be made");
        let base = kiln.path("busybox");
        let from = root("busybox").replace("busybox=oci-layout://", "");
        drop(kiln_tests::support::tool(
            "cp",
            &["-a", &from, &base.display().to_string()],
        ));
        let output = format!("type=oci,tar=false,dest={}", out.join("image").display());
        let context = format!("busybox=oci-layout://{}", base.display());
        let args = kiln.build_args(project.path(), &["--build-context", &context, "-o", &output]);
        let mut command = match user {
            Some(user) => user.command(&kiln, &[project.path()], &args),
            None => kiln.command(&args),
        };
        command.env("SOURCE_DATE_EPOCH", EPOCH);
        let _built = kiln_tests::support::run(command).ok();
        Layout::open(&out.join("image")).image()
    };
    let (root, user) = (build(None), build(Some(User::with_ids())));
    assert_eq!(root.manifest["layers"], user.manifest["layers"]);
    assert_eq!(root.digest, user.digest);
}
