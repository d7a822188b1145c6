//! All packages that repositories offer for one architecture, found by name and by what they provide.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::BufRead;
use std::rc::Rc;

use crate::relation::Clause;
use crate::relation::clauses;
use crate::relation::provides;
use crate::version;

/// Longest line that is read; real ones have some ten thousand bytes.
const LINE: u64 = 4 << 20;
/// Most text that is kept of all indexes.
const TEXT: usize = 160 << 20;

// Fields whose places are kept while an index is read.
const NAME: usize = 0;
const ARCH: usize = 1;
const PROVIDES: usize = 2;
const ESSENTIAL: usize = 3;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Text,
    /// It is kept, and so is its place.
    Range(usize),
}

impl Keep {
    fn of(line: &[u8]) -> Self {
        let end = line.iter().take(16).position(|byte| *byte == b':');
        match &line[..end.unwrap_or_default()] {
            b"Package" => Self::Range(NAME),
            b"Architecture" => Self::Range(ARCH),
            b"Provides" => Self::Range(PROVIDES),
            b"Essential" => Self::Range(ESSENTIAL),
            b"Version" | b"Multi-Arch" | b"Priority" | b"Pre-Depends" | b"Depends" | b"Recommends"
            | b"Conflicts" | b"Breaks" | b"Source" | b"Filename" | b"Size" | b"SHA256" => Self::Text,
            _ => Self::Nothing,
        }
    }
}

/// A package that is being read.
struct Stanza {
    start: usize,
    ranges: [(usize, usize); 4],
}

impl Stanza {
    fn at(start: usize) -> Self {
        Self {
            start,
            ranges: [(start, start); 4],
        }
    }
}

/// Where packages were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    /// Address of the repository.
    pub(crate) url: String,
    pub(crate) suite: String,
    /// Other names of the suite that its release file gives.
    pub(crate) aliases: Vec<String>,
    pub(crate) component: String,
}

/// A package of an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Package {
    pub(crate) id: usize,
    pub(crate) origin: usize,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) multi_arch: String,
    pub(crate) essential: bool,
    pub(crate) priority: String,
    pub(crate) depends: Vec<Clause>,
    pub(crate) recommends: Vec<Clause>,
    pub(crate) conflicts: Vec<Clause>,
    pub(crate) provides: Vec<(String, Option<String>)>,
    pub(crate) source: String,
    pub(crate) filename: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// All packages, as text until one is looked at.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) origins: Vec<Origin>,
    text: String,
    /// Start, end and origin of each package.
    stanzas: Vec<(usize, usize, usize)>,
    names: HashMap<String, Vec<usize>>,
    virtuals: HashMap<String, Vec<usize>>,
    essential: Vec<usize>,
    read: RefCell<HashMap<usize, Rc<Package>>>,
}

impl Index {
    /// Adds what an index file holds.
    pub(crate) fn add(&mut self, origin: Origin, arch: &str, mut file: impl BufRead) -> Result<(), String> {
        self.origins.push(origin);
        // An index has a million lines: each is looked at once, and most are dropped by their first word.
        let (mut line, mut stanza, mut keep) = (Vec::new(), Stanza::at(self.text.len()), Keep::Nothing);
        loop {
            line.clear();
            let got = std::io::Read::take(&mut file, LINE).read_until(b'\n', &mut line);
            let got = got.map_err(|error| error.to_string())?;
            if got as u64 == LINE {
                return Err("a line is too long".to_owned());
            }
            let bytes = line.trim_ascii_end();
            let Some(first) = bytes.first() else {
                self.finish(&stanza, arch);
                stanza = Stanza::at(self.text.len());
                if got == 0 {
                    return Ok(());
                }
                continue;
            };
            let goes_on = matches!(first, b' ' | b'\t');
            if !goes_on {
                keep = Keep::of(bytes);
            }
            if keep == Keep::Nothing {
                continue;
            }
            let start = self.text.len();
            self.text.push_str(&String::from_utf8_lossy(bytes));
            if let Keep::Range(at) = keep {
                let from = if goes_on { stanza.ranges[at].0 } else { start };
                stanza.ranges[at] = (from, self.text.len());
            }
            self.text.push('\n');
            if self.text.len() > TEXT {
                return Err(format!("the indexes have more than {} MiB", TEXT >> 20));
            }
        }
    }

    /// Enters a package that was read, if it is one for this architecture.
    fn finish(&mut self, stanza: &Stanza, arch: &str) {
        let value = |at: usize| {
            let (from, to) = stanza.ranges[at];
            let text = self.text.get(from..to).unwrap_or_default();
            text.split_once(':').map_or("", |(_, value)| value.trim())
        };
        let (name, own) = (value(NAME), value(ARCH));
        if (own != arch && own != "all") || !crate::spec::is_name(name) {
            self.text.truncate(stanza.start);
            return;
        }
        let id = self.stanzas.len();
        let provided = provides(value(PROVIDES));
        let is_essential = value(ESSENTIAL) == "yes";
        self.names.entry(name.to_owned()).or_default().push(id);
        for (name, _) in provided {
            let known = self.virtuals.entry(name).or_default();
            if known.last() != Some(&id) {
                known.push(id);
            }
        }
        self.essential.extend(is_essential.then_some(id));
        self.stanzas
            .push((stanza.start, self.text.len(), self.origins.len() - 1));
    }

    /// Returns a package.
    pub(crate) fn get(&self, id: usize) -> Rc<Package> {
        let read = || {
            let (start, end, origin) = self.stanzas[id];
            Rc::new(Package::read(id, origin, &Fields(&self.text[start..end])))
        };
        self.read.borrow_mut().entry(id).or_insert_with(read).clone()
    }

    /// Returns the packages of that name, the newest first, and the earlier repository where they are the same.
    pub(crate) fn named(&self, name: &str) -> Vec<Rc<Package>> {
        let ids = self.names.get(name).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<Rc<Package>> = ids.iter().map(|id| self.get(*id)).collect();
        found.sort_by(|a, b| version::compare(&b.version, &a.version).then(a.id.cmp(&b.id)));
        found.dedup_by(|later, earlier| later.version == earlier.version && later.sha256 == earlier.sha256);
        found
    }

    /// Returns the packages that provide the name; only the newest version of each.
    pub(crate) fn providing(&self, name: &str) -> Vec<Rc<Package>> {
        let ids = self.virtuals.get(name).map_or(&[][..], Vec::as_slice);
        let mut newest: BTreeMap<String, Rc<Package>> = BTreeMap::new();
        for package in ids.iter().map(|id| self.get(*id)) {
            let known = newest.get(&package.name);
            if known.is_none_or(|known| version::compare(&known.version, &package.version).is_lt()) {
                newest.insert(package.name.clone(), package);
            }
        }
        newest.into_values().collect()
    }

    /// Returns the names of essential packages.
    pub(crate) fn essential(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .essential
            .iter()
            .map(|id| self.get(*id).name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns the known name that is most like `name`.
    pub(crate) fn similar(&self, name: &str) -> Option<&str> {
        let close = |known: &&String| {
            known.len().abs_diff(name.len()) <= 2 && known.as_bytes()[0] == name.as_bytes()[0]
        };
        let known = self.names.keys().filter(close);
        let rated = known.map(|known| (distance(known, name), known.as_str()));
        rated
            .filter(|(distance, _)| *distance <= 2)
            .min()
            .map(|(_, known)| known)
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut above = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = above + usize::from(x != *y);
            above = row[j + 1];
            row[j + 1] = cost.min(above + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A paragraph of a control file.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    /// Returns the first line of a field, or its whole value where it goes on.
    fn get(&self, key: &str) -> &'a str {
        let mut at = 0;
        for line in self.0.split_inclusive('\n') {
            let rest = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
            if let Some(rest) = rest {
                let mut end = at + line.len();
                while let Some(more) = self.0.get(end..).filter(|more| more.starts_with([' ', '\t'])) {
                    end += more.find('\n').map_or(more.len(), |newline| newline + 1);
                }
                let start = at + line.len() - rest.len();
                return self.0[start..end].trim();
            }
            at += line.len();
        }
        ""
    }
}

impl Package {
    fn read(id: usize, origin: usize, fields: &Fields<'_>) -> Self {
        let text = |key| fields.get(key).to_owned();
        let all = |keys: [&str; 2]| keys.iter().flat_map(|key| clauses(fields.get(key))).collect();
        let name = text("Package");
        // `Source: NAME (VERSION)`, left out where it is the package's own name.
        let source = fields
            .get("Source")
            .split(' ')
            .next()
            .filter(|source| !source.is_empty());
        Self {
            id,
            origin,
            version: text("Version"),
            arch: text("Architecture"),
            multi_arch: text("Multi-Arch"),
            essential: fields.get("Essential") == "yes",
            priority: text("Priority"),
            depends: all(["Pre-Depends", "Depends"]),
            recommends: clauses(fields.get("Recommends")),
            conflicts: all(["Conflicts", "Breaks"]),
            provides: provides(fields.get("Provides")),
            source: source.unwrap_or(&name).to_owned(),
            filename: text("Filename"),
            size: fields.get("Size").parse().unwrap_or_default(),
            sha256: text("SHA256").to_ascii_lowercase(),
            name,
        }
    }

    /// Returns how the package is written where its version matters.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Returns a number that is less for packages that more systems have.
    pub(crate) fn rank(&self) -> usize {
        let order = ["required", "important", "standard", "optional"];
        order
            .iter()
            .position(|name| *name == self.priority)
            .unwrap_or(order.len())
    }
}

#[cfg(test)]
pub(crate) fn of_text(text: &str) -> Index {
    let mut index = Index::default();
    let origin = Origin {
        suite: "stable".into(),
        component: "main".into(),
        ..Origin::default()
    };
    index.add(origin, "amd64", text.as_bytes()).expect("an index");
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: aa\nVersion: 1\nArchitecture: amd64\nDescription: long\n text\nDepends: bb,\n cc\n\n\
        Package: aa\nVersion: 1.10\nArchitecture: all\nSource: src (2)\nProvides: vv (= 3), ww\n\n\
        Package: aa\nVersion: 9\nArchitecture: arm64\n\nPackage: Evil/../x\nVersion: 1\nArchitecture: all\n\n\
        Package: bb\nVersion: 1\nArchitecture: amd64\nEssential: yes\nProvides: ww";

    #[test]
    fn packages_are_found_by_name_and_by_what_they_provide() {
        let index = of_text(TEXT);
        let versions: Vec<String> = index.named("aa").iter().map(|p| p.version.clone()).collect();
        assert_eq!(versions, ["1.10", "1"]);
        assert_eq!(index.named("aa")[0].source, "src");
        assert_eq!(index.named("aa")[1].depends.len(), 2);
        assert_eq!(index.named("Evil/../x").len(), 0);
        let names: Vec<String> = index.providing("ww").iter().map(|p| p.name.clone()).collect();
        assert_eq!(names, ["aa", "bb"]);
        assert_eq!(index.essential(), ["bb"]);
        assert_eq!(index.similar("ab"), Some("aa"));
        assert_eq!(index.similar("zz"), None);
        assert!(!index.text.contains("Description"));
    }
}
