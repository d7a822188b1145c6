//! Chooses packages by Debian's rules: dependencies with alternatives and provided names, conflicts and breaks, one
//! version of each. What was asked for comes first, then the newest versions and the first alternatives, as apt takes
//! them; where that leads nowhere, the next ones.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::index::Index;
use crate::index::Package;
use crate::relation::Relation;
use crate::relation::shown;
use crate::spec::Spec;
use crate::spec::Variant;
use crate::spec::Wanted;
use crate::yaml::Fault;
use crate::yaml::Text;

/// Most steps before it is given up.
const STEPS: usize = 200_000;
/// Most packages of an image.
const PACKAGES: usize = 10_000;
/// Packages that only maintainer scripts need, and of which package: of any where that is empty.
const FOR_SCRIPTS: &[(&str, &str)] = &[
    ("adduser", ""),
    ("awk", "base-files"),
    ("base-passwd", ""),
    ("cdebconf", ""),
    ("debconf", ""),
    ("debconf-2.0", ""),
    ("dpkg", ""),
    ("init-system-helpers", ""),
    ("install-info", ""),
    ("libc-bin", ""),
    ("lsb-base", ""),
    ("passwd", ""),
    ("sysvinit-utils", ""),
    ("ucf", ""),
    ("update-inetd", ""),
];

/// Something that has to be there.
#[derive(Debug, Clone)]
struct Need {
    /// Who needs it; none is the build file.
    by: Option<Rc<Package>>,
    clause: Rc<[Relation]>,
    /// What the build file says besides.
    wanted: Option<Rc<Wanted>>,
    /// It may be left out.
    optional: bool,
}

#[derive(Debug, Clone, Default)]
struct State {
    chosen: BTreeMap<String, Rc<Package>>,
    because: BTreeMap<String, String>,
    /// Needs with one way, which are looked at first.
    single: VecDeque<Need>,
    several: VecDeque<Need>,
}

struct Resolver<'i> {
    index: &'i Index,
    spec: &'i Spec,
    steps: usize,
    /// The first thing that went wrong: what is most like what a person would look at.
    first: Option<Fault>,
}

/// What was chosen, by name.
pub(crate) type Chosen = BTreeMap<String, Rc<Package>>;

/// Chooses the packages of an image.
pub(crate) fn resolve(index: &Index, spec: &Spec) -> Result<Chosen, Fault> {
    let mut state = State::default();
    for wanted in &spec.packages {
        state.single.push_back(Need {
            by: None,
            clause: Rc::from([Relation::any(&wanted.name)]),
            wanted: Some(Rc::new(wanted.clone())),
            optional: false,
        });
    }
    let implied = match spec.variant {
        _ if spec.packages.is_empty() => Vec::new(),
        Variant::Distroless => vec!["base-files".to_owned()],
        Variant::Minbase => index.essential(),
    };
    for name in implied {
        let there = !index.named(&name).is_empty();
        state.single.extend(there.then(|| Need {
            by: None,
            clause: Rc::from([Relation::any(&name)]),
            wanted: None,
            optional: false,
        }));
    }
    let mut resolver = Resolver {
        index,
        spec,
        steps: 0,
        first: None,
    };
    Ok(resolver.search(state)?.chosen)
}

impl Resolver<'_> {
    /// Searches depth first; what is left to try is kept with the state that it starts from.
    fn search(&mut self, mut state: State) -> Result<State, Fault> {
        let mut open: Vec<(State, Need, VecDeque<Rc<Package>>)> = Vec::new();
        loop {
            self.steps += 1;
            if self.steps > STEPS || state.chosen.len() > PACKAGES {
                let fault = Fault::new("the packages' dependencies are too complicated to resolve");
                return Err(self.first.take().unwrap_or(fault));
            }
            let Some(need) = state.single.pop_front().or_else(|| state.several.pop_front()) else {
                return Ok(state);
            };
            if need.wanted.is_none() && state.satisfies(&need.clause) {
                continue;
            }
            let mut candidates = match self.candidates(&state, &need) {
                Ok(candidates) => candidates,
                Err(_) if need.optional => continue,
                Err(fault) => {
                    self.first.get_or_insert(fault);
                    VecDeque::new()
                }
            };
            let Some(next) = candidates.pop_front() else {
                let Some((earlier, of, next)) = back(&mut open) else {
                    return Err(self.first.take().unwrap_or_else(|| Fault::new("no packages fit")));
                };
                state = earlier;
                state.choose(&next, &of, self.spec);
                continue;
            };
            if !candidates.is_empty() && open.len() < 4096 {
                open.push((state.clone(), need.clone(), candidates));
            }
            state.choose(&next, &need, self.spec);
        }
    }

    /// Returns the packages that fit a need and what was chosen, the best first.
    fn candidates(&self, state: &State, need: &Need) -> Result<VecDeque<Rc<Package>>, Fault> {
        let mut fits: VecDeque<Rc<Package>> = VecDeque::new();
        let mut why = Vec::new();
        for relation in need.clause.iter() {
            let real = self.index.named(&relation.name);
            let known = !real.is_empty();
            let mut others: Vec<String> = Vec::new();
            for package in real {
                let allowed = relation.allows(&package.version) && self.allowed(need, &package);
                match allowed {
                    true => take(state, package, &mut fits, &mut why),
                    false => others.push(self.with_suite(&package)),
                }
            }
            let mut provided = self.index.providing(&relation.name);
            provided.sort_by_key(|package| package.rank());
            let mut provides = false;
            for package in provided {
                let own = package.provides.iter().filter(|(name, _)| *name == relation.name);
                let mut own = own.filter(|(_, version)| relation.allows_provided(version.as_deref()));
                if own.next().is_some() && need.wanted.as_ref().is_none_or(|wanted| wanted.version.is_none())
                {
                    provides = true;
                    take(state, package, &mut fits, &mut why);
                }
            }
            if !others.is_empty() && !provides && fits.is_empty() {
                why.push(format!("there is {}", others.join(", ")));
            } else if !known && !provides {
                let similar = Some(&relation.name).filter(|_| need.clause.len() == 1);
                let similar = similar.and_then(|name| self.index.similar(name));
                let similar = similar.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
                why.push(format!("no repository has `{}`{similar}", relation.name));
            }
        }
        if fits.is_empty() {
            return Err(self.fault(state, need, &why));
        }
        Ok(fits)
    }

    /// Returns true when a package is what the build file says besides its name.
    fn allowed(&self, need: &Need, package: &Package) -> bool {
        let Some(wanted) = &need.wanted else {
            return true;
        };
        let origin = &self.index.origins[package.origin];
        let suite = |suite: &String| origin.suite == *suite || origin.aliases.contains(suite);
        wanted
            .version
            .as_ref()
            .is_none_or(|version| *version == package.version)
            && wanted.suite.as_ref().is_none_or(suite)
    }

    fn with_suite(&self, package: &Package) -> String {
        let origin = &self.index.origins[package.origin];
        format!("{} in {}/{}", package.version, origin.suite, origin.component)
    }

    /// Says why a need cannot be met, with the chain of packages that leads to it.
    fn fault(&self, state: &State, need: &Need, why: &[String]) -> Fault {
        let mut message = match (&need.by, &need.wanted) {
            (Some(by), _) => format!("`{}` needs `{}`, but ", by.shown(), shown(&need.clause)),
            (None, Some(wanted)) => format!("cannot install `{}`: ", wanted.text.text),
            (None, None) => format!("cannot install `{}`: ", shown(&need.clause)),
        };
        message.push_str(&why.join(", and "));
        let mut chain = Vec::new();
        let mut at = need.by.as_ref().map(|by| by.name.clone());
        while let Some(name) = at.filter(|_| chain.len() < 20) {
            at = state.because.get(&name).cloned();
            chain.push(name);
        }
        let asked = chain
            .last()
            .or(need.clause.first().map(|relation| &relation.name));
        let place = asked.and_then(|name| self.place(name));
        if chain.len() > 1 {
            chain.reverse();
            message.push_str(&format!(" ({})", chain.join(" needs ")));
        }
        let fault = Fault::new(message);
        match place {
            Some(text) => fault.or_at(text.place),
            None => fault,
        }
    }

    fn place(&self, name: &str) -> Option<&Text> {
        let found = self.spec.packages.iter().find(|wanted| wanted.name == name);
        found.map(|wanted| &wanted.text)
    }
}

/// Adds a package that has the right name and version, if nothing that was chosen stands against it.
fn take(state: &State, package: Rc<Package>, fits: &mut VecDeque<Rc<Package>>, why: &mut Vec<String>) {
    if fits.iter().any(|known| known.id == package.id) {
        return;
    }
    match state.against(&package) {
        None => fits.push_back(package),
        Some(reason) => {
            if why.len() < 8 {
                why.push(reason);
            }
        }
    }
}

/// Goes back to the last state with something left to try.
fn back(open: &mut Vec<(State, Need, VecDeque<Rc<Package>>)>) -> Option<(State, Need, Rc<Package>)> {
    let (state, need, mut rest) = open.pop()?;
    let next = rest.pop_front()?;
    if !rest.is_empty() {
        open.push((state.clone(), need.clone(), rest));
    }
    Some((state, need, next))
}

impl State {
    /// Returns true when something that was chosen is what one of the relations means.
    fn satisfies(&self, clause: &[Relation]) -> bool {
        clause
            .iter()
            .any(|relation| self.meant(relation).next().is_some())
    }

    /// Returns the chosen packages that a relation means.
    fn meant<'s>(&'s self, relation: &'s Relation) -> impl Iterator<Item = &'s Rc<Package>> {
        self.chosen.values().filter(|package| means(relation, package))
    }

    /// Says what stands against a package: another version, or a conflict in either direction.
    fn against(&self, package: &Rc<Package>) -> Option<String> {
        if let Some(other) = self.chosen.get(&package.name) {
            return (other.id != package.id)
                .then(|| format!("`{}` is already chosen over {}", other.shown(), package.version));
        }
        for relation in package.conflicts.iter().flatten() {
            if let Some(other) = self.meant(relation).find(|other| other.name != package.name) {
                return Some(conflict(package, relation, other));
            }
        }
        for other in self.chosen.values() {
            for relation in other.conflicts.iter().flatten() {
                if means(relation, package) {
                    return Some(conflict(other, relation, package));
                }
            }
        }
        None
    }

    fn choose(&mut self, package: &Rc<Package>, need: &Need, spec: &Spec) {
        let known = self.chosen.insert(package.name.clone(), Rc::clone(package));
        if known.is_some() {
            return;
        }
        if let Some(by) = &need.by {
            self.because.insert(package.name.clone(), by.name.clone());
        }
        let depends = package.depends.iter().map(|clause| (clause, false));
        let recommends = package.recommends.iter().map(|clause| (clause, true));
        for (clause, optional) in depends.chain(recommends.filter(|_| spec.recommends)) {
            if spec.variant == Variant::Distroless && only_for_scripts(package, clause) {
                continue;
            }
            let need = Need {
                by: Some(Rc::clone(package)),
                clause: clause.as_slice().into(),
                wanted: None,
                optional,
            };
            match clause.len() {
                1 if !optional => self.single.push_back(need),
                _ => self.several.push_back(need),
            }
        }
    }
}

fn conflict(by: &Package, relation: &Relation, other: &Package) -> String {
    format!(
        "`{}` conflicts with `{relation}`, which `{}` is",
        by.shown(),
        other.shown()
    )
}

/// Returns true when a relation means a package, by its name or by what it provides.
fn means(relation: &Relation, package: &Package) -> bool {
    if relation.name == package.name {
        return relation.allows(&package.version);
    }
    let provided = package.provides.iter().filter(|(name, _)| *name == relation.name);
    provided
        .into_iter()
        .any(|(_, version)| relation.allows_provided(version.as_deref()))
}

/// Returns true when nothing but a maintainer script needs the relation.
fn only_for_scripts(package: &Package, clause: &[Relation]) -> bool {
    clause.iter().all(|relation| {
        FOR_SCRIPTS
            .iter()
            .any(|(name, of)| *name == relation.name && (of.is_empty() || *of == package.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::of_text;

    fn index(lines: &[&str]) -> Index {
        let stanza = |line: &&str| {
            let mut parts = line.split(';');
            let head = parts.next().unwrap_or_default();
            let (name, version) = head.split_once(' ').unwrap_or((head, "1"));
            let more: String = parts.map(|part| format!("{}\n", part.trim())).collect();
            format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}\n")
        };
        of_text(&lines.iter().map(stanza).collect::<String>())
    }

    fn spec(packages: &str, more: &str) -> Spec {
        let text = format!(
            "repositories: [{{url: http://x, suites: stable, keys: k}}]\npackages: [{packages}]\n{more}"
        );
        Spec::parse(&text).expect("a build file")
    }

    fn solve(lines: &[&str], packages: &str, more: &str) -> Result<String, String> {
        let chosen = resolve(&index(lines), &spec(packages, more)).map_err(|fault| fault.message)?;
        let all: Vec<String> = chosen.values().map(|package| package.shown()).collect();
        Ok(all.join(", "))
    }

    #[test]
    fn dependencies_are_chosen() {
        let cases: &[(&[&str], &str, &str, &str)] = &[
            (
                &["aa;Depends: bb", "bb;Pre-Depends: cc", "cc"],
                "aa",
                "",
                "aa 1, bb 1, cc 1",
            ),
            (&["aa", "aa 2", "aa 1.9"], "aa", "", "aa 2"),
            (&["aa", "aa 2"], "aa=1", "", "aa 1"),
            (&["aa"], "aa/stable", "", "aa 1"),
            (&["aa;Depends: xx | bb", "bb"], "aa", "", "aa 1, bb 1"),
            (&["aa;Depends: bb | cc", "bb", "cc"], "aa", "", "aa 1, bb 1"),
            (&["aa;Depends: bb | cc", "bb", "cc"], "aa, cc", "", "aa 1, cc 1"),
            (
                &[
                    "aa;Depends: vv",
                    "bb;Provides: vv;Priority: optional",
                    "cc;Provides: vv;Priority: required",
                ],
                "aa",
                "",
                "aa 1, cc 1",
            ),
            (
                &[
                    "aa;Depends: vv (>= 2)",
                    "bb;Provides: vv",
                    "cc;Provides: vv (= 2)",
                ],
                "aa",
                "",
                "aa 1, cc 1",
            ),
            (&["aa;Depends: bb (<< 2)", "bb 1", "bb 2"], "aa", "", "aa 1, bb 1"),
            (
                &["aa;Depends: bb | cc", "bb;Conflicts: dd", "cc", "dd"],
                "aa, dd",
                "",
                "aa 1, cc 1, dd 1",
            ),
            (
                &["aa;Depends: bb", "bb 2;Breaks: dd (<< 3)", "bb 1", "dd 2"],
                "aa, dd",
                "",
                "aa 1, bb 1, dd 2",
            ),
            (&["aa 2;Depends: xx", "aa 1"], "aa", "", "aa 1"),
            (&["aa;Conflicts: vv;Provides: vv"], "aa", "", "aa 1"),
            (&["aa;Depends: bb", "bb;Depends: aa"], "aa", "", "aa 1, bb 1"),
            (&["aa;Recommends: bb", "bb"], "aa", "", "aa 1"),
            (
                &["aa;Recommends: bb, xx", "bb"],
                "aa",
                "recommends: true",
                "aa 1, bb 1",
            ),
            (
                &["aa;Depends: python3:any", "python3;Multi-Arch: allowed"],
                "aa",
                "",
                "aa 1, python3 1",
            ),
            (
                &[
                    "aa;Depends: debconf | debconf-2.0, dpkg (>= 1)",
                    "debconf",
                    "dpkg",
                    "base-files",
                ],
                "aa",
                "",
                "aa 1, base-files 1",
            ),
            (
                &["aa", "dpkg;Essential: yes"],
                "aa",
                "variant: minbase",
                "aa 1, dpkg 1",
            ),
        ];
        for (lines, packages, more, expected) in cases {
            assert_eq!(
                solve(lines, packages, more).as_deref(),
                Ok(*expected),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_installed_is_explained() {
        let cases: &[(&[&str], &str, &str)] = &[
            (
                &["abc"],
                "abd",
                "cannot install `abd`: no repository has `abd` (did you mean `abc`?)",
            ),
            (
                &["aa"],
                "aa=2",
                "cannot install `aa=2`: there is 1 in stable/main",
            ),
            (
                &["aa"],
                "aa/sid",
                "cannot install `aa/sid`: there is 1 in stable/main",
            ),
            (
                &["aa;Depends: bb", "bb;Depends: cc (>= 2)", "cc 1"],
                "aa",
                "`bb 1` needs `cc (>= 2)`, but there is 1 in stable/main (aa needs bb)",
            ),
            (
                &["aa;Conflicts: bb (<< 2)", "bb"],
                "aa, bb",
                "cannot install `bb`: `aa 1` conflicts with `bb (<< 2)`, which `bb 1` is",
            ),
            (
                &["aa;Depends: vv (>= 2)", "bb;Provides: vv"],
                "aa",
                "`aa 1` needs `vv (>= 2)`, but no repository has `vv`",
            ),
            (
                &["aa;Depends: bb (= 1)", "bb 1", "bb 2", "cc;Depends: bb (= 2)"],
                "aa, cc",
                "`cc 1` needs `bb (= 2)`, but `bb 1` is already chosen over 2, and there is 1 in stable/main",
            ),
        ];
        for (lines, packages, expected) in cases {
            let said = solve(lines, packages, "").expect_err("no solution");
            assert_eq!(said, *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_knot_that_cannot_be_undone_ends() {
        let mut lines: Vec<String> = vec!["aa;Depends: x0, zz".into(), "zz;Depends: none".into()];
        for at in 0..60 {
            lines.push(format!("x{at};Depends: y{at} | z{at}, x{}", (at + 1) % 60));
            lines.push(format!("y{at};Conflicts: z{}", (at + 1) % 60));
            lines.push(format!("z{at};Conflicts: y{}", (at + 1) % 60));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let said = solve(&lines, "aa", "").expect_err("no solution");
        assert_eq!(
            said,
            "`zz 1` needs `none`, but no repository has `none` (aa needs zz)"
        );
    }
}
