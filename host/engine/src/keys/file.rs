//! The key of a file operation.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kiln_graph::Copy;
use kiln_graph::FileAct;
use kiln_graph::FileAction;
use kiln_graph::FileInput;
use kiln_graph::Input;
use kiln_graph::Owner;
use kiln_graph::UserRef;
use kiln_image::Digest;

use super::Dependency;
use super::OpKey;
use super::Selector;
use super::dedupe_paths;
use super::json;
use super::place;

pub(super) fn key(actions: &[FileAction], inputs: &[Input]) -> OpKey {
    let mut selected: BTreeMap<usize, Vec<Selector>> = BTreeMap::new();
    let mut written: BTreeSet<usize> = BTreeSet::new();
    let mut encoded = Vec::with_capacity(actions.len());
    let mut indexes = Vec::with_capacity(actions.len());
    let at = |input: FileInput| match input {
        FileInput::Scratch => -1,
        FileInput::Vertex(input) => place(inputs, input) as i64,
        FileInput::Action(action) => inputs.len() as i64 + i64::from(action),
    };
    for action in actions {
        let on = at(action.on);
        let mut from = -1;
        written.extend(usize::try_from(on));
        let mut select = |input: i64, selector: Selector| {
            if let Ok(input) = usize::try_from(input)
                && input < inputs.len()
            {
                selected.entry(input).or_default().push(selector);
            }
        };
        owner_selectors(owner_of(&action.act))
            .into_iter()
            .for_each(|selector| select(on, selector));
        encoded.push(match &action.act {
            FileAct::Copy(copy) => {
                from = at(copy.from);
                let whole = matches!(copy.from, FileInput::Vertex(_));
                if whole {
                    select(from, copy_selector(copy));
                }
                json::copy(copy, if whole { base(&copy.src) } else { &copy.src }, on)
            }
            FileAct::Mkfile(mkfile) => json::mkfile(mkfile, on),
            FileAct::Mkdir(mkdir) => json::mkdir(mkdir, on),
            FileAct::Rm(rm) => json::rm(rm),
            FileAct::Symlink(symlink) => json::symlink(symlink, on),
        });
        indexes.push([on, from, action.output.map_or(-1, i64::from)]);
    }
    let indexes = (!are_usual(&indexes)).then_some(indexes.as_slice());
    let dependencies = (0..inputs.len())
        .map(
            |input| match selected.get(&input).filter(|_| !written.contains(&input)) {
                Some(selectors) => dependency(selectors),
                None => Dependency::default(),
            },
        )
        .collect();
    OpKey {
        preimage: json::file(&encoded, indexes),
        dependencies,
    }
}

fn owner_of(act: &FileAct) -> Option<&Owner> {
    match act {
        FileAct::Copy(copy) => copy.owner.as_ref(),
        FileAct::Mkfile(mkfile) => mkfile.owner.as_ref(),
        FileAct::Mkdir(mkdir) => mkdir.owner.as_ref(),
        FileAct::Rm(_) | FileAct::Symlink(_) => None,
    }
}

fn owner_selectors(owner: Option<&Owner>) -> Vec<Selector> {
    let Some(owner) = owner else { return Vec::new() };
    let file = |user: &Option<UserRef>, path: &str| {
        let named = matches!(user, Some(UserRef::Name(_)));
        named.then(|| Selector {
            path: path.to_owned(),
            follow_links: true,
            ..Selector::default()
        })
    };
    [file(&owner.user, "/etc/passwd"), file(&owner.group, "/etc/group")]
        .into_iter()
        .flatten()
        .collect()
}

fn copy_selector(copy: &Copy) -> Selector {
    Selector {
        path: copy.src.clone(),
        wildcard: copy.allow_wildcard && contains_wildcards(&copy.src),
        follow_links: copy.follow_symlink,
        include: copy.include_patterns.clone(),
        exclude: copy.exclude_patterns.clone(),
        required: copy.required_paths.clone(),
    }
}

/// Returns true when `path` has a wildcard that no backslash takes its meaning from.
fn contains_wildcards(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Returns the last component as Go's `path.Base` does.
fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (path.is_empty(), trimmed.is_empty()) {
        (true, _) => ".",
        (false, true) => "/",
        _ => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

fn dependency(selectors: &[Selector]) -> Dependency {
    let mut paths: Vec<&str> = selectors.iter().map(|selector| selector.path.as_str()).collect();
    paths.sort_unstable();
    paths.reverse(); // BuildKit's order
    Dependency {
        selector: Some(Digest::of(paths.join("\0"))),
        content: Some(dedupe(selectors)),
    }
}

fn dedupe(selectors: &[Selector]) -> Vec<Selector> {
    let plain = |follow_links: bool| {
        let paths: Vec<String> = selectors
            .iter()
            .filter(|s| !s.has_wildcard_or_filters() && s.follow_links == follow_links)
            .map(|s| s.path.clone())
            .collect();
        dedupe_paths(&paths).into_iter().map(move |path| Selector {
            path,
            follow_links,
            ..Selector::default()
        })
    };
    let filtered = selectors.iter().filter(|s| s.has_wildcard_or_filters()).cloned();
    let mut all: Vec<Selector> = plain(false).chain(plain(true)).chain(filtered).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// The usual chain: the first action works on the first input, each other one on the action before, the source is the
/// second input, and the last action is the output. BuildKit leaves the indexes out of the key then.
fn are_usual(indexes: &[[i64; 3]]) -> bool {
    let count = indexes.len() as i64;
    !indexes.is_empty()
        && indexes.iter().zip(0..).all(|(&[on, from, output], at)| {
            on == if at == 0 { 0 } else { count + at - 1 }
                && (from == -1 || from == 1)
                && output == if at == count - 1 { 0 } else { -1 }
        })
}
