//! `/etc/passwd` and `/etc/group`: those of `base-passwd` if it is there, else the few that every image needs, and the
//! build file's.

use crate::spec::Spec;
use crate::yaml::Fault;

/// Users with the numbers that Debian gave them for good.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nwww-data:x:33:\nshadow:x:42:\n\
    utmp:x:43:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n";

/// Returns the texts of both files. `masters` are those of `base-passwd`.
pub(crate) fn files(spec: &Spec, masters: Option<(String, String)>) -> Result<(String, String), Fault> {
    let (mut passwd, mut group) = match masters {
        // The masters have `*` for a password where a system has `x`.
        Some((passwd, group)) => (passwd.replace(":*:", ":x:"), group.replace(":*:", ":x:")),
        None => (PASSWD.to_owned(), GROUP.to_owned()),
    };
    let known = |file: &str, name: &str| file.lines().any(|line| line.split(':').next() == Some(name));
    for new in &spec.groups {
        if known(&group, &new.name.text) {
            return Err(Fault::at(
                new.name.place,
                format!("the group `{}` is there already", new.name.text),
            ));
        }
        group.push_str(&format!(
            "{}:x:{}:{}\n",
            new.name.text,
            new.gid,
            new.members.join(",")
        ));
    }
    for new in &spec.users {
        let name = &new.name.text;
        if known(&passwd, name) {
            return Err(Fault::at(
                new.name.place,
                format!("the user `{name}` is there already"),
            ));
        }
        let has = |file: &str| {
            file.lines()
                .any(|line| line.split(':').nth(2) == Some(&new.gid.to_string()))
        };
        if !has(&group) {
            group.push_str(&format!("{name}:x:{}:\n", new.gid));
        }
        passwd.push_str(&format!(
            "{name}:x:{}:{}:{}:{}:{}\n",
            new.uid, new.gid, new.comment, new.home, new.shell
        ));
    }
    Ok((passwd, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_get_lines_and_groups() {
        let spec = Spec::parse(
            "users: [{name: app, uid: 1000, home: /srv}]\ngroups: [{name: web, gid: 50, members: [app]}]\n",
        );
        let (passwd, group) = files(&spec.expect("a build file"), None).expect("files");
        assert!(
            passwd.ends_with("app:x:1000:1000::/srv:/usr/sbin/nologin\n"),
            "{passwd}"
        );
        assert!(group.ends_with("web:x:50:app\napp:x:1000:\n"), "{group}");
        let spec = Spec::parse("users: [{name: root, uid: 1}]\n").expect("a build file");
        assert!(files(&spec, None).is_err());
    }
}
