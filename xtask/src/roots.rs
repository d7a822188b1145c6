//! Root file systems for tests and benchmarks: OCI layouts made of Debian packages, once, outside the tree.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::packages;
use crate::process;

/// Suite of the Debian root file system.
const SUITE: &str = "bookworm";

/// Makes the layouts and prints where they are.
pub(crate) fn run(_: &Path, _: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::TESTS)?;
    println!("{}", make()?.display());
    Ok(())
}

/// Returns the directory with the layouts `debian`, `languages` and `busybox`, making those that are missing.
pub(crate) fn make() -> anyhow::Result<PathBuf> {
    let directory = cache_directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
    layout(&directory, "busybox", busybox)?;
    layout(&directory, "debian", debian)?;
    layout(&directory, "languages", languages)?;
    Ok(directory)
}

/// Where things are kept that outlive a checkout.
pub(crate) fn cache_directory() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("kiln-test")
}

/// Makes the layout `name` with one layer, the tar that `fill` writes.
fn layout(directory: &Path, name: &str, fill: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let place = directory.join(name);
    if place.join("index.json").exists() {
        return Ok(());
    }
    eprintln!("roots: making `{name}` (once, kept in {})", directory.display());
    let work = directory.join(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let (tar, half) = (work.join("root.tar"), work.join("layout"));
    fill(&tar)?;
    let image = format!("{}:latest", half.display());
    let umoci = |args: &[&str]| process::output(Command::new("umoci").args(args)).map(drop);
    umoci(&["init", "--layout", &half.display().to_string()])?;
    umoci(&["new", "--image", &image])?;
    umoci(&["raw", "add-layer", "--image", &image, &tar.display().to_string()])?;
    let path = "--config.env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    umoci(&["config", "--image", &image, path, "--config.cmd=/bin/sh"])?;
    umoci(&["gc", "--layout", &half.display().to_string()])?;
    std::fs::rename(&half, &place).with_context(|| format!("cannot make `{}`", place.display()))?;
    Ok(std::fs::remove_dir_all(&work)?)
}

fn debian(tar: &Path) -> anyhow::Result<()> {
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--variant=minbase", "--quiet", SUITE]);
    process::run(mmdebstrap.arg(tar))
}

/// Debian with packages of many languages, to be compared with what other scanners find.
fn languages(tar: &Path) -> anyhow::Result<()> {
    const PACKAGES: [&str; 15] = [
        "libcommons-logging-java",
        "libjackson2-databind-java",
        "libspring-core-java",
        "nginx-light",
        "node-express",
        "node-semver",
        "openssl",
        "perl",
        "php-cli",
        "php-pear",
        "python3-pip",
        "python3-yaml",
        "ruby",
        "ruby-rack",
        "umoci",
    ];
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=minbase", "--quiet"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(SUITE);
    process::run(mmdebstrap.arg(tar))
}

/// A static busybox with its applets, users and groups as the conformance cases want them.
fn busybox(tar: &Path) -> anyhow::Result<()> {
    let root = tar.with_extension("root");
    let script = r#"
set -eu
mkdir -p "$1/bin" "$1/sbin" "$1/usr/bin" "$1/usr/sbin" "$1/etc" "$1/root" "$1/home" "$1/var" "$1/dev" "$1/proc" "$1/sys"
mkdir -m 1777 "$1/tmp"
cp /usr/bin/busybox "$1/bin/busybox"
chmod 755 "$1/bin/busybox"
for applet in $(/usr/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
done
rm -f "$1/bin/adduser"
ln -s ../../bin/busybox "$1/usr/bin/env"
cat > "$1/bin/adduser" <<'EOF'
#!/bin/sh
# adduser -D NAME
for name; do :; done
id=$(( 1000 + $(grep -c ':/home/' /etc/passwd) ))
echo "$name:x:$id:$id::/home/$name:/bin/sh" >> /etc/passwd
echo "$name:x:$id:" >> /etc/group
mkdir -p "/home/$name" && chown "$id:$id" "/home/$name"
EOF
chmod 755 "$1/bin/adduser"
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$1/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nwheel:x:10:root\nnobody:x:65534:\n' > "$1/etc/group"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$1" -cf "$2" .
rm -rf "$1"
"#;
    process::run(Command::new("sh").args(["-c", script, "sh"]).arg(&root).arg(tar))
}
