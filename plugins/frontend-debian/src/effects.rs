//! What scripts of packages that matter would have made, as files.

use std::collections::BTreeSet;

use kiln_sdk::graph::FileAct;
use sha1::Digest;
use sha1::Sha1;

use crate::graph::mkdir;
use crate::graph::mkfile;
use crate::graph::symlink;
use crate::package::Unpack;
use crate::pgp;
use crate::plan::ROOT;
use crate::plan::has;
use crate::plan::with_mode;
use crate::scripts;
use crate::spec::Owned;
use crate::yaml::Fault;

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where OpenSSL looks for it.
const CERT: &str = "/usr/lib/ssl/cert.pem";
/// Most bytes of all certificates.
const CERTIFICATES: u64 = 4 << 20;

/// The bundle that `update-ca-certificates` would make, and where OpenSSL looks for it.
pub(crate) fn certificates(unpack: &Unpack) -> Result<Vec<FileAct>, Fault> {
    let found = unpack
        .all
        .iter()
        .position(|unpacked| unpacked.package.name == "ca-certificates");
    let (Some(at), Some(tree)) = (found, &unpack.tree) else {
        return Ok(Vec::new());
    };
    let is_certificate =
        |path: &&str| path.starts_with("usr/share/ca-certificates/") && path.ends_with(".crt");
    let paths = unpack.all[at].files.iter().map(|entry| entry.path.as_str());
    let paths: Vec<&str> = paths.filter(is_certificate).collect();
    let places: Vec<String> = paths.iter().map(|path| format!("{at}/data/{path}")).collect();
    let (mut bundle, mut all) = (Vec::new(), Vec::new());
    for (path, data) in tree.read_many(&places, CERTIFICATES)? {
        all.push((path, der(&String::from_utf8_lossy(&data))));
        bundle.extend(data);
        if bundle.last() != Some(&b'\n') {
            bundle.push(b'\n');
        }
    }
    let mut acts = vec![mkdir("/etc/ssl/certs", ROOT), mkfile(BUNDLE, bundle, ROOT)];
    if unpack
        .all
        .iter()
        .any(|unpacked| unpacked.package.name == "ca-certificates-java")
    {
        acts.push(mkdir("/etc/ssl/certs/java", ROOT));
        acts.push(mkfile("/etc/ssl/certs/java/cacerts", keystore(&all), ROOT));
    }
    if !has(unpack, CERT) {
        acts.push(mkdir("/usr/lib/ssl", ROOT));
        acts.push(symlink(CERT, BUNDLE));
    }
    for path in paths {
        let name = path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".crt");
        acts.push(symlink(
            &format!("/etc/ssl/certs/{name}.pem"),
            &format!("/{path}"),
        ));
    }
    Ok(acts)
}

/// Alternatives: a link to `/etc/alternatives`, and from there.
pub(crate) fn alternatives(unpack: &Unpack) -> Vec<FileAct> {
    let mut acts = Vec::new();
    let mut dirs = BTreeSet::new();
    for alternative in scripts::alternatives(&unpack.all) {
        if !has(unpack, &alternative.target) || has(unpack, &alternative.link) {
            continue;
        }
        let dir = alternative
            .link
            .rsplit_once('/')
            .map_or("/", |(dir, _)| dir)
            .to_owned();
        for dir in [dir, "/etc/alternatives".to_owned()] {
            if dirs.insert(dir.clone()) {
                acts.push(mkdir(&dir, ROOT));
            }
        }
        let middle = format!("/etc/alternatives/{}", alternative.name);
        acts.push(symlink(&alternative.link, &middle));
        acts.push(symlink(&middle, &alternative.target));
    }
    acts
}

/// Returns the bytes of a certificate in PEM; none when it is no such.
fn der(pem: &str) -> Vec<u8> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----");
    let body = body.and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"));
    body.and_then(|(body, _)| pgp::base64(body.lines().map(str::trim)).ok())
        .unwrap_or_default()
}

/// Writes certificates as a Java keystore (JKS, version 2) with Java's own password for what is no secret.
fn keystore(certificates: &[(String, Vec<u8>)]) -> Vec<u8> {
    let good: Vec<_> = certificates.iter().filter(|(_, der)| !der.is_empty()).collect();
    let mut out = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
    out.extend((good.len() as u32).to_be_bytes());
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    };
    for (path, der) in good {
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        // Java's own form of Unicode differs from ours for nothing that is left.
        let name: String = name.chars().filter(char::is_ascii).collect();
        out.extend(2_u32.to_be_bytes());
        text(&mut out, &format!("debian:{}", name.trim_end_matches(".crt")));
        out.extend(0_u64.to_be_bytes());
        text(&mut out, "X.509");
        out.extend((der.len() as u32).to_be_bytes());
        out.extend(der);
    }
    let mut hash = Sha1::new();
    "changeit".bytes().for_each(|byte| hash.update([0, byte]));
    hash.update(b"Mighty Aphrodite");
    hash.update(&out);
    out.extend(hash.finalize());
    out
}

/// Files of single packages.
pub(crate) fn others(unpack: &Unpack) -> Vec<FileAct> {
    let mut acts = Vec::new();
    for unpacked in &unpack.all {
        let name = unpacked.package.name.as_str();
        for entry in &unpacked.files {
            let module = entry.path.strip_prefix("usr/share/nginx/modules-available/");
            if let Some(module) = module.filter(|module| module.ends_with(".conf")) {
                acts.push(mkdir("/etc/nginx/modules-enabled", ROOT));
                acts.push(symlink(
                    &format!("/etc/nginx/modules-enabled/50-{module}"),
                    &format!("/{}", entry.path),
                ));
            }
        }
        let python = name
            .strip_prefix("libpython")
            .and_then(|rest| rest.strip_suffix("-minimal"));
        if let Some(version) = python {
            let path = format!("/etc/python{version}/sitecustomize.py");
            if has(unpack, &path) {
                continue;
            }
            acts.push(mkdir(&format!("/etc/python{version}"), ROOT));
            acts.push(mkfile(
                &path,
                "# Empty sitecustomize.py to avoid a dangling symlink\n",
                ROOT,
            ));
        }
        match name {
            "java-common" => {
                acts.push(mkdir("/etc/.java/.systemPrefs", ROOT));
                acts.push(mkfile("/etc/.java/.systemPrefs/.system.lock", "", ROOT));
                acts.push(mkfile("/etc/.java/.systemPrefs/.systemRootModFile", "", ROOT));
            }
            "tzdata" if !has(unpack, "/etc/localtime") => {
                acts.push(mkfile("/etc/timezone", "Etc/UTC\n", ROOT));
                acts.push(symlink("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"));
            }
            "debianutils" if !has(unpack, "/etc/shells") => {
                let shells = ["/bin/sh", "/bin/bash", "/bin/rbash", "/bin/dash"].into_iter();
                let lines = shells
                    .filter(|shell| has(unpack, shell))
                    .map(|shell| format!("{shell}\n/usr{shell}\n"));
                acts.push(mkfile("/etc/shells", lines.collect::<String>(), ROOT));
            }
            "nginx-common" => acts.extend(nginx(unpack)),
            _ => {}
        }
    }
    acts
}

fn nginx(unpack: &Unpack) -> Vec<FileAct> {
    // `www-data` and `adm`, which have these numbers everywhere.
    let log = Owned {
        uid: 33,
        gid: 4,
        ..with_mode(0o640)
    };
    let adm = Owned {
        gid: 4,
        ..with_mode(0o755)
    };
    let mut acts = vec![
        mkdir("/var/log", ROOT),
        mkdir("/var/log/nginx", adm),
        mkfile("/var/log/nginx/access.log", "", log),
        mkfile("/var/log/nginx/error.log", "", log),
    ];
    let site = "/etc/nginx/sites-available/default";
    if has(unpack, site) {
        acts.push(mkdir("/etc/nginx/sites-enabled", ROOT));
        acts.push(symlink("/etc/nginx/sites-enabled/default", site));
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keystores_hold_what_is_a_certificate() {
        let pem = "# x\n-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n";
        assert_eq!(der(pem), [1, 2, 3, 4]);
        assert!(der("hello").is_empty());
        let store = keystore(&[("a/Some_CA.crt".into(), der(pem)), ("b.crt".into(), Vec::new())]);
        assert_eq!(store[..12], [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1]);
        let alias = b"debian:some_ca";
        assert!(store.windows(alias.len()).any(|part| part == alias));
        assert_eq!(store.len(), 12 + 4 + 2 + 14 + 8 + 2 + 5 + 4 + 4 + 20);
    }
}
