//! Users that are not root. They are made in a mount namespace of the command alone: the machine's files stay.

use std::path::Path;
use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Page;
use kiln_tests::support::Project;
use kiln_tests::support::Repositories;
use kiln_tests::support::Web;
use kiln_tests::support::kiln_bin;
use kiln_tests::support::run;
use kiln_tests::support::tool;

/// User and group of the test.
const ID: u32 = 54321;

/// A user to run commands as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    /// Has ranges in `/etc/subuid` and `/etc/subgid`.
    has_ids: bool,
    /// May make user namespaces.
    has_namespaces: bool,
}

impl User {
    /// A user with further ids, as `useradd` makes them.
    pub(crate) fn with_ids() -> Self {
        Self {
            has_ids: true,
            has_namespaces: true,
        }
    }

    /// A user without further ids, who can make a namespace with one user.
    fn without_ids() -> Self {
        Self {
            has_ids: false,
            has_namespaces: true,
        }
    }

    /// A user who cannot make any namespace.
    pub(crate) fn without_namespaces() -> Self {
        Self {
            has_ids: false,
            has_namespaces: false,
        }
    }

    /// Returns the binary with `args` as a command of this user, who gets the store's place and `owned`.
    pub(crate) fn command(self, kiln: &Kiln, owned: &[&Path], args: &[String]) -> Command {
        let place = kiln.path("");
        let binary = place.join("kiln-bin");
        std::fs::write(&binary, "").expect("a file can be written");
        let user = format!("builder:x:{ID}:{ID}::{}:/bin/sh\n", place.display());
        let passwd = std::fs::read_to_string("/etc/passwd").expect("there is /etc/passwd") + &user;
        let group = std::fs::read_to_string("/etc/group").expect("there is /etc/group")
            + &format!("builder:x:{ID}:\n");
        let ids = if self.has_ids {
            "builder:200000:65536\n"
        } else {
            ""
        };
        for (name, text) in [
            ("passwd", passwd.as_str()),
            ("group", &group),
            ("subuid", ids),
            ("subgid", ids),
        ] {
            std::fs::write(place.join(format!("etc-{name}")), text).expect("a file can be written");
        }
        let owner = format!("{ID}:{ID}");
        let chown = |path: &Path| drop(tool("chown", &["-R", &owner, &path.display().to_string()]));
        chown(&place);
        for path in owned {
            chown(path);
        }
        // The device for private networks is open to everybody on most machines, not in every container.
        // The kernel gives no user namespace to a process whose root is not that of its mount namespace.
        let chroot = "mkdir root; mount --rbind / root; exec chroot \"$place/root\"";
        let exec = if self.has_namespaces { "exec" } else { chroot };
        let script = format!(
            "set -e; cd \"$1\"; mount --bind \"$2\" kiln-bin\n\
             for file in passwd group subuid subgid; do touch /etc/$file; mount --bind etc-$file /etc/$file; done\n\
             [ ! -e /dev/net/tun ] || {{ mknod -m 666 tun c 10 200; mount --bind tun /dev/net/tun; }}\n\
             place=$1; shift 2\n\
             {exec} setpriv --reuid {ID} --regid {ID} --clear-groups sh -c 'cd / && exec \"$@\"' sh \"$place/kiln-bin\" \"$@\""
        );
        let mut command = Command::new("unshare");
        let base = kiln.command::<&str>(&[]);
        command
            .env_clear()
            .envs(base.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.args(["--mount", "--propagation=private"]);
        command
            .args(["sh", "-c", &script, "sh"])
            .arg(place)
            .arg(kiln_bin())
            .args(args);
        command
    }
}

#[test]
fn users_are_what_they_say() {
    let says = |user: User, program: &str| {
        let kiln = Kiln::new();
        let mut command = user.command(&kiln, &[], &[]);
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let at = args
            .iter()
            .position(|arg| *arg == kiln_bin())
            .expect("the binary is in the command");
        let mut changed = Command::new(command.get_program());
        changed.args(&args[..at]).arg("/bin/sh").args(["-c", program]);
        command = changed;
        run(command)
    };
    assert_eq!(says(User::with_ids(), "id -un").ok().text(), "builder\n");
    assert_eq!(
        says(
            User::with_ids(),
            "unshare --user --map-auto --map-root-user id -u"
        )
        .ok()
        .text(),
        "0\n"
    );
    assert_eq!(
        says(User::without_ids(), "unshare --user --map-root-user id -u")
            .ok()
            .text(),
        "0\n"
    );
    assert_eq!(
        says(User::without_namespaces(), "id -u").ok().text(),
        format!("{ID}\n")
    );
    assert_ne!(
        says(User::without_namespaces(), "unshare --user true").code(),
        Some(0)
    );
}

/// Builds `project` as `user` and returns the names in the layers of the image.
#[track_caller]
fn build(user: User, project: &Project) -> Vec<Vec<String>> {
    let kiln = Kiln::new();
    let out = kiln.path("image");
    let output = format!("type=oci,tar=false,dest={}", out.display());
    let args = kiln.build_args(project.path(), &["-o", &output]);
    let _built = run(user.command(&kiln, &[project.path()], &args)).ok();
    let layout = Layout::open(&out);
    let image = layout.image();
    for tar in layout.layers(&image) {
        let mut archive = tar::Archive::new(tar.as_slice());
        for entry in archive.entries().expect("a layer is a tar") {
            let entry = entry.expect("a layer is a tar");
            let uid = entry.header().uid().expect("an owner");
            assert!(uid == 0 || uid == 1234, "{:?} belongs to {uid}", entry.path());
        }
    }
    layout.layer_names(&image)
}

fn files_only() -> Project {
    Project::new("FROM scratch AS one\nCOPY a /dir/\nFROM scratch\nCOPY --from=one /dir /dir\nCOPY --chown=1234 a /b\n")
        .file("a", "a")
}

#[test]
fn files_are_built_without_any_namespace() {
    let names = build(User::without_namespaces(), &files_only());
    assert_eq!(names, [vec!["dir/", "dir/a"], vec!["b"]]);
}

#[test]
fn files_are_built_with_one_id() {
    assert_eq!(build(User::without_ids(), &files_only()).len(), 2);
}

#[test]
fn what_comes_from_elsewhere_belongs_to_root() {
    let (web, all) = (Web::start(), Repositories::new());
    let main = all.repository("main").file("x", "x\n");
    main.commit("one");
    main.publish();
    web.repositories("git", all.path());
    web.page("/y", Page::new("y"));
    let (git, http) = (web.url("/git/main.git"), web.url("/y"));
    let text = format!("FROM scratch\nADD {git} /\nADD {http} /\nADD --keep-git-dir=true {git} /kept/\n");
    for user in [User::with_ids(), User::without_ids(), User::without_namespaces()] {
        let names = build(user, &Project::new(&text));
        assert_eq!(names[..2], [vec!["x"], vec!["y"]], "{user:?}");
    }
}

#[test]
fn steps_run_with_further_ids() {
    let text = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"busybox touch /a; busybox chown 1234 /a\"]\n";
    let names = build(User::with_ids(), &Project::new(text).busybox("busybox"));
    assert!(names[1].contains(&"a".to_owned()), "{names:?}");
}
