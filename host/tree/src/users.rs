//! Who is who: `/etc/passwd` and `/etc/group` of a tree, as BuildKit reads them. Files are handed in as bytes; nothing
//! in them is trusted, lines that make no sense are passed over.

use std::borrow::Cow;

/// A user or group by number or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOrId {
    /// Name.
    Name(String),
    /// Number.
    Id(u32),
}

/// A new owner as an instruction gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// User; none is root.
    pub user: Option<NameOrId>,
    /// Group; none follows from the user.
    pub group: Option<NameOrId>,
}

/// User and group as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups, ascending.
    pub groups: Vec<u32>,
    /// Home directory by `/etc/passwd`; `/` for a user that is not in it.
    pub home: String,
}

/// A user of a process cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that is not in the file.
    #[error("unable to find user {name}: no matching entries in passwd file")]
    NoUser {
        /// The name.
        name: String,
    },
    /// A group's name that is not in the file.
    #[error("unable to find group {name}: no matching entries in group file")]
    NoGroup {
        /// The name.
        name: String,
    },
    /// A number that cannot be an id.
    #[error("uids and gids must be in range 0-2147483647: `{value}`")]
    Range {
        /// The number.
        value: String,
    },
}

/// Largest id: runc and BuildKit accept no more than `int32` holds.
const MAX_ID: u64 = i32::MAX as u64;

struct User<'a> {
    name: Cow<'a, str>,
    uid: u32,
    gid: u32,
    home: Cow<'a, str>,
}

struct Group<'a> {
    name: Cow<'a, str>,
    gid: u32,
    members: Cow<'a, str>,
}

impl Group<'_> {
    fn has(&self, name: &str) -> bool {
        self.members.split(',').any(|member| member == name)
    }
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<Cow<'_, str>>> {
    let lines = file.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|line| line.split(|&b| b == b':').map(String::from_utf8_lossy).collect())
}

/// Reads a field with a number; a missing or malformed one is 0, as it is for runc.
fn number(field: Option<&Cow<'_, str>>) -> u32 {
    field.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn text<'a>(field: Option<&Cow<'a, str>>) -> Cow<'a, str> {
    field.cloned().unwrap_or_default()
}

fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).map(|f| User {
        name: text(f.first()),
        uid: number(f.get(2)),
        gid: number(f.get(3)),
        home: text(f.get(5)),
    })
}

fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).map(|f| Group {
        name: text(f.first()),
        gid: number(f.get(2)),
        members: text(f.get(3)),
    })
}

/// Turns the owner of a file operation into numbers. A user given by number alone has the group of that number; a name
/// that is not in the file is silently root's, as BuildKit has it.
pub fn chown(owner: &Owner, passwd: &[u8], group: &[u8]) -> Ids {
    let mut ids = match &owner.user {
        None => Ids::default(),
        Some(NameOrId::Id(id)) => Ids { uid: *id, gid: *id },
        Some(NameOrId::Name(name)) => {
            let found = users(passwd).find(|user| user.name == *name);
            found
                .map(|user| Ids {
                    uid: user.uid,
                    gid: user.gid,
                })
                .unwrap_or_default()
        }
    };
    match &owner.group {
        None => {}
        Some(NameOrId::Id(id)) => ids.gid = *id,
        Some(NameOrId::Name(name)) => {
            if let Some(found) = groups(group).find(|group| group.name == *name) {
                ids.gid = found.gid;
            }
        }
    }
    ids
}

/// Reads a number, which may have a sign; none for a name.
fn id(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let value = text
        .parse::<i128>()
        .map(|value| u64::try_from(value).unwrap_or(u64::MAX))
        .ok()
        .filter(|id| *id <= MAX_ID)
        .and_then(|id| u32::try_from(id).ok());
    value.map(Some).ok_or_else(|| UserError::Range {
        value: text.to_owned(),
    })
}

/// Finds out who `user[:group]` is, numbers or names; nothing is root. Further groups are those of `/etc/group` that
/// list the user, unless a group is given.
///
/// # Errors
/// Names that are not in the files, numbers that are out of range.
pub fn exec_user(user: &str, passwd: &[u8], group: &[u8]) -> Result<ExecUser, UserError> {
    let (name, group_name) = user.split_once(':').unwrap_or((user, ""));
    let wanted = if name.is_empty() { "0" } else { name };
    if let (Ok(uid), Ok(gid)) = (wanted.parse(), group_name.parse()) {
        let known = users(passwd).find(|user| user.uid == uid);
        let home = known.map_or_else(|| "/".to_owned(), |user| user.home.into_owned());
        return Ok(ExecUser {
            uid,
            gid,
            groups: Vec::new(),
            home,
        });
    }
    let number = id(wanted)?;
    let found = users(passwd).find(|user| user.name == wanted || number == Some(user.uid));
    let (mut exec, login) = match (found, number) {
        (Some(User { name, uid, gid, home }), _) => (
            ExecUser {
                uid,
                gid,
                groups: Vec::new(),
                home: home.into_owned(),
            },
            Some(name),
        ),
        (None, Some(uid)) => (
            ExecUser {
                uid,
                gid: 0,
                groups: Vec::new(),
                home: "/".to_owned(),
            },
            None,
        ),
        (None, None) => {
            return Err(UserError::NoUser {
                name: wanted.to_owned(),
            });
        }
    };
    if group_name.is_empty() {
        if let Some(login) = login {
            exec.groups = groups(group)
                .filter(|group| group.has(&login))
                .map(|group| group.gid)
                .collect();
            exec.groups.sort_unstable();
            exec.groups.dedup();
        }
        return Ok(exec);
    }
    let number = id(group_name)?;
    let found = groups(group).find(|group| group.name == group_name || number == Some(group.gid));
    let gid = found.map(|group| group.gid).or(number);
    exec.gid = gid.ok_or_else(|| UserError::NoGroup {
        name: group_name.to_owned(),
    })?;
    Ok(exec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n# no\n\nnobody:x:65534:65534:n:/nonexistent:/bin/false\n\
        ann:x:1000:1001:Ann:/home/ann:/bin/sh\nbroken\n7:x:1007:1007::/home/7:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,ann\nstaff:x:50:ann\ngames:x:5:annabel\nann:x:1001:\n";

    #[track_caller]
    fn check(user: &str, expect: &str) {
        let got = match exec_user(user, PASSWD, GROUP) {
            Ok(user) => format!("{}:{} {:?} {}", user.uid, user.gid, user.groups, user.home),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{user:?}");
    }

    #[test]
    fn users_of_processes() {
        check("", "0:0 [10] /root");
        check("root", "0:0 [10] /root");
        check("ann", "1000:1001 [10, 50] /home/ann");
        check("1000", "1000:1001 [10, 50] /home/ann");
        check("ann:staff", "1000:50 [] /home/ann");
        check("ann:77", "1000:77 [] /home/ann");
        check("1234", "1234:0 [] /");
        check("1234:4294967294", "1234:4294967294 [] /");
        check("7", "1007:1007 [] /home/7");
        check(
            "bob",
            "unable to find user bob: no matching entries in passwd file",
        );
        check(
            "ann:nope",
            "unable to find group nope: no matching entries in group file",
        );
        check(
            "99999999999",
            "uids and gids must be in range 0-2147483647: `99999999999`",
        );
        check("-1", "uids and gids must be in range 0-2147483647: `-1`");
    }

    #[test]
    fn an_unknown_owner_is_root() {
        let name = |name: &str| Some(NameOrId::Name(name.to_owned()));
        let check = |user, group, uid, gid| {
            assert_eq!(chown(&Owner { user, group }, PASSWD, GROUP), Ids { uid, gid });
        };
        check(name("ann"), None, 1000, 1001);
        check(name("ann"), name("staff"), 1000, 50);
        check(name("bob"), None, 0, 0);
        check(name("ann"), name("nope"), 1000, 1001);
        check(Some(NameOrId::Id(12)), None, 12, 12);
        check(Some(NameOrId::Id(12)), Some(NameOrId::Id(0)), 12, 0);
        check(None, name("wheel"), 0, 10);
    }
}
