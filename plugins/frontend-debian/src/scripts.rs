//! What maintainer scripts would do: done here for what matters, and otherwise said.
//!
//! Sections that debhelper wrote are known by the name of the tool that wrote them. A script that has nothing else, or
//! whose package is known, is covered.

use std::collections::BTreeMap;

use crate::package::Unpacked;

/// Tools of debhelper whose sections have nothing to do in an image: no service manager runs, byte code and caches are
/// made when they are needed, old configuration files are not there.
const TOOLS: &[&str] = &[
    "dh_installalternatives",
    "dh_installchangelogs",
    "dh_installcron",
    "dh_installdeb",
    "dh_installdocs",
    "dh_installinit",
    "dh_installmenu",
    "dh_installsystemd",
    "dh_installtmpfiles",
    "dh_installudev",
    "dh_installxfonts",
    "dh_makeshlibs",
    "dh_python3",
    "dh_systemd_enable",
    "dh_systemd_start",
    "dh_ucf",
    "dh_installinfo",
];

/// Packages whose scripts need nothing that is not done here: their effect is there, or has no meaning in a new image.
const COVERED: &[&str] = &[
    "adduser",
    "git",
    "libpam-modules",
    "libselinux1",
    "perl",
    "tzdata",
    "usrmerge",
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "grep",
    "gzip",
    "init-system-helpers",
    "libc-bin",
    "ca-certificates-java",
    "iproute2",
    "java-common",
    "libc6",
    "libgcrypt20",
    "libglib2.0-0",
    "libgssapi-krb5-2",
    "libpam0g",
    "nginx",
    "nginx-common",
    "login",
    "mawk",
    "media-types",
    "ncurses-base",
    "netbase",
    "openssl",
    "perl-base",
    "python3-minimal",
    "python3.11-minimal",
    "python3.13-minimal",
    "sed",
    "tar",
    "util-linux",
];

/// Returns the scripts of a package that do something that is not done.
pub(crate) fn uncovered(unpacked: &Unpacked) -> Vec<&'static str> {
    let name = unpacked.package.name.as_str();
    let families = ["openjdk-", "libnginx-mod-", "libpython3."];
    if COVERED.contains(&name) || families.iter().any(|family| name.starts_with(family)) {
        return Vec::new();
    }
    let scripts = ["preinst", "postinst"];
    let open = scripts
        .into_iter()
        .filter(|script| !is_covered(unpacked.text(script)));
    open.collect()
}

/// Returns true when a script does nothing but what sections of known tools and `update-alternatives` do.
fn is_covered(script: &str) -> bool {
    let mut inside = false;
    let joined = script.replace("\\\n", " ");
    joined.lines().map(str::trim).all(|line| {
        if let Some(tool) = line.strip_prefix("# Automatically added by ") {
            inside = TOOLS.contains(&tool.split('/').next().unwrap_or_default());
        } else if line.starts_with("# End automatically added section") {
            inside = false;
            return true;
        }
        inside || is_idle(line)
    })
}

/// Returns true for a line that does nothing by itself.
fn is_idle(line: &str) -> bool {
    let words = [
        "", "esac", "fi", "else", ";;", "exit 0", "set -e", "set -eu", "true", ":", "then", "done",
    ];
    let starts = [
        "#",
        "if ",
        "case ",
        "echo ",
        "update-alternatives --install /",
        ". /usr/share/debconf/confmodule",
    ];
    words.contains(&line)
        || starts.iter().any(|start| line.starts_with(start))
        || (line.ends_with(')') && !line.contains(['(', ' ']))
        || matches!(
            line,
            "configure|reconfigure)" | "abort-upgrade|abort-remove|abort-deconfigure)"
        )
}

/// A link that `update-alternatives` would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alternative {
    pub(crate) link: String,
    pub(crate) name: String,
    pub(crate) target: String,
}

/// Returns the alternatives of all packages: of each name the one with the highest priority.
pub(crate) fn alternatives(all: &[Unpacked]) -> Vec<Alternative> {
    let mut best: BTreeMap<String, (i64, Vec<Alternative>)> = BTreeMap::new();
    for unpacked in all {
        let mut found = written(unpacked.text("postinst"));
        found.extend(java(unpacked));
        for (priority, links) in found {
            let Some(first) = links.first() else { continue };
            let known = best.get(&first.name);
            if known.is_none_or(|(known, _)| *known < priority) {
                best.insert(first.name.clone(), (priority, links));
            }
        }
    }
    best.into_values().flat_map(|(_, links)| links).collect()
}

/// Finds the calls of `update-alternatives --install` in a script whose arguments are written out.
fn written(script: &str) -> Vec<(i64, Vec<Alternative>)> {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let Some((_, call)) = line.split_once("update-alternatives ") else {
            continue;
        };
        let mut words = call
            .split_whitespace()
            .skip_while(|word| *word != "--install")
            .skip(1);
        let mut links = Vec::new();
        let mut three = || Some((words.next()?, words.next()?, words.next()?));
        let Some(first) = three() else { continue };
        links.extend(alternative(first));
        let Some(priority) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        while words.next() == Some("--slave") {
            let mut three = || Some((words.next()?, words.next()?, words.next()?));
            links.extend(three().and_then(alternative));
        }
        found.push((priority, links));
    }
    found
}

fn alternative((link, name, target): (&str, &str, &str)) -> Option<Alternative> {
    let plain = |path: &str| {
        path.starts_with('/') && !path.contains(['$', '`', '"', '\'', '*', '{']) && !path.contains("/../")
    };
    let fits = plain(link) && plain(target) && !name.contains(['/', '$', '"', '\'']) && !name.is_empty();
    fits.then(|| Alternative {
        link: link.to_owned(),
        name: name.to_owned(),
        target: target.to_owned(),
    })
}

/// The programs of a Java runtime, whose script goes through a list of them.
fn java(unpacked: &Unpacked) -> Vec<(i64, Vec<Alternative>)> {
    if !unpacked.package.name.starts_with("openjdk-") {
        return Vec::new();
    }
    let programs = unpacked.files.iter().filter_map(|entry| {
        let rest = entry.path.strip_prefix("usr/lib/jvm/")?;
        let (home, name) = rest.split_once("/bin/")?;
        let fits = !home.contains('/') && !name.contains('/');
        fits.then_some((entry.path.as_str(), name))
    });
    programs
        .map(|(path, name)| {
            let link = Alternative {
                link: format!("/usr/bin/{name}"),
                name: name.to_owned(),
                target: format!("/{path}"),
            };
            (1000, vec![link])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_known_tools_are_covered() {
        let head = "#!/bin/sh\nset -e\n# Automatically added by dh_python3\nif which py3compile; then\n\tpy3compile -p x\nfi\n# End automatically added section\n";
        assert!(is_covered("") && is_covered(head));
        assert!(is_covered(&format!(
            "{head}\ncase \"$1\" in\n  configure)\n  ;;\nesac\nexit 0\n"
        )));
        assert!(!is_covered(&format!("{head}adduser --system x\n")));
        assert!(!is_covered(
            "# Automatically added by dh_unknown\nrm -rf /\n# End automatically added section\n"
        ));
        assert!(is_covered(
            "update-alternatives --install /usr/bin/a a /usr/bin/b 5 \\\n  --slave /x y /z\n"
        ));
    }

    #[test]
    fn alternatives_are_read_where_they_are_written_out() {
        let script = "if x; then\n update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n  --slave /usr/share/man/awk.1 awk.1 /usr/share/man/mawk.1\nfi\nupdate-alternatives --install /usr/bin/$x x /usr/bin/y 5\nupdate-alternatives --remove a /b\n";
        let found = written(script);
        assert_eq!(found[0].0, 5);
        let names: Vec<&str> = found[0].1.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["awk", "awk.1"]);
        assert!(found[1].1.is_empty());
        assert_eq!(found.len(), 2);
    }
}
