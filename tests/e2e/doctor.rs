//! `kiln doctor` says what is there and what is not.

use std::path::Path;

use kiln_tests::support::Kiln;

#[test]
fn what_is_there_works() {
    let kiln = Kiln::new();
    let outcome = kiln.run(&["doctor"]).ok();
    let text = outcome.text();
    for subject in [
        "store: ",
        "privileges for RUN: root",
        "mounts for RUN: Linux ",
        "limits of memory and CPU: ",
        "private network for RUN: ",
        "user namespaces: ",
        "ids for users that are not root: ",
        "snapshots: overlayfs works",
        "disk: ",
        "machines that steps can run for: ",
        "git: git version",
        "ssh: OpenSSH",
        "plugins: ",
        "credentials: ",
    ] {
        assert!(text.contains(subject), "`{subject}` is missing in\n{text}");
    }
    // Every line that is not `ok` says what to do.
    let lines: Vec<&str> = text.lines().collect();
    for (line, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
        let needs_advice = line.starts_with("limited") || line.starts_with("missing");
        assert!(!needs_advice || next.contains("hint: "), "{line}\n{next}");
    }
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    let kiln = Kiln::new().env("PATH", "/nonexistent");
    let outcome = kiln.run(&["doctor"]);
    let text = outcome.text();
    for expected in [
        "limited  git: not installed",
        "install the package `git`",
        "limited  ssh: not installed",
        "install the package `openssh-client`",
        "neither `nft` nor `iptables` is installed",
        "install the package `nftables`",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
    }
}

#[test]
fn machines_are_those_with_an_emulator() {
    let text = Kiln::new().run(&["doctor"]).ok().text();
    let line = text
        .lines()
        .find(|line| line.contains("machines that steps can run for"));
    let line = line.expect("a line about machines");
    let (here, missing) = line.split_once("; not ").unwrap_or((line, ""));
    for (machine, emulator) in [
        ("arm64", "qemu-aarch64"),
        ("riscv64", "qemu-riscv64"),
        ("s390x", "qemu-s390x"),
    ] {
        let registered = Path::new("/proc/sys/fs/binfmt_misc").join(emulator).exists();
        let own = cfg!(target_arch = "aarch64") && machine == "arm64";
        let list = if registered || own { here } else { missing };
        assert!(
            list.contains(machine),
            "{machine} ({emulator} registered: {registered}): {line}"
        );
    }
}

#[test]
fn devices_are_listed_with_what_cannot_be_read() {
    let kiln = Kiln::new();
    let dir = kiln.path("cdi");
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("bad.yaml"), "kind: [").expect("a file");
    let spec = r#"{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{"name": "d"}]}"#;
    std::fs::write(dir.join("good.json"), spec).expect("a file");
    let settings = kiln.path(".config/kiln");
    std::fs::create_dir_all(&settings).expect("a directory");
    let text = format!("[cdi]\nspec-dirs = [\"{}\"]\n", dir.display());
    std::fs::write(settings.join("kiln.toml"), text).expect("a file");
    let text = kiln.run(&["doctor"]).ok().text();
    assert!(text.contains("devices for RUN --device: v.com/c=d"), "{text}");
    assert!(text.contains("bad.yaml`: "), "{text}");
}
