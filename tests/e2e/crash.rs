//! `kill -9` at any moment.

use std::time::Duration;
use std::time::SystemTime;

use rustix::process::Signal;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::digest_of;

const ROUNDS: u64 = 15;

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn seed() -> u64 {
    let given = std::env::var("KILN_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("it is after 1970");
        u64::from(now.subsec_nanos()) | 1
    })
}

/// Asserts that each blob of the store is what its name says.
fn check_blobs(kiln: &Kiln) {
    let Ok(blobs) = std::fs::read_dir(kiln.home().join("blobs/sha256")) else {
        return;
    };
    for entry in blobs.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path()).expect("a blob can be read");
        assert_eq!(
            digest_of(&bytes),
            format!("sha256:{name}"),
            "a blob is not what its name says"
        );
    }
}

#[test]
fn killed_builds_leave_a_store_that_works() {
    let seed = seed();
    let mut random = Random(seed);
    let kiln = Kiln::new();
    let busybox = root("busybox");
    let text = "FROM busybox AS one\nCOPY . /src\nRUN sha256sum /src/* > /sums\nFROM busybox\nCOPY --from=one /sums /\nRUN cat /sums > /end\n";
    let project = Project::new(text);
    for at in 0..20 {
        project.write(&format!("file-{at}"), format!("{at}").repeat(20_000).as_bytes());
    }
    let archive = kiln.path("image.tar");
    let oci = format!("type=oci,dest={}", archive.display());
    let args = [
        "--build-context",
        &busybox,
        "-t",
        "app:latest",
        "-o",
        "type=image",
        "-o",
        &oci,
    ];
    for round in 0..ROUNDS {
        project.write("changing", format!("{round}").as_bytes());
        let build = kiln.start(&kiln.build_args(project.path(), &args));
        std::thread::sleep(Duration::from_millis(random.below(900)));
        build.signal(Signal::KILL);
        drop(build.wait(Duration::from_secs(10)));
        let at = format!("round {round} with KILN_SEED={seed}");
        check_blobs(&kiln);
        let usage = kiln.run(&["du"]);
        assert_eq!(usage.code(), Some(0), "{at}: {}", usage.report());
        let next = kiln.build(project.path(), &args);
        assert_eq!(next.code(), Some(0), "{at}: {}", next.report());
        assert_eq!(kiln.mounts(), Vec::<String>::new(), "{at}: mounts are left");
    }
    check_blobs(&kiln);
}
