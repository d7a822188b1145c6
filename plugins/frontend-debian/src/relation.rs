//! Relations between packages: `libc6 (>= 2.36), awk | mawk [amd64]`.

use std::fmt;

use crate::version::Bound;

/// One package of a relation, with the versions that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    /// Qualifier behind a colon: `any`, `native` or an architecture.
    pub(crate) arch: Option<String>,
    pub(crate) version: Option<(Bound, String)>,
}

/// Alternatives, the best first.
pub(crate) type Clause = Vec<Relation>;

impl Relation {
    /// Returns the relation with a package of any version.
    pub(crate) fn any(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arch: None,
            version: None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // Restrictions to architectures are resolved in binary packages already; what is left of them is cut off.
        let text = text
            .split(['[', '<'])
            .next()
            .filter(|_| !text.contains('('))
            .unwrap_or(text);
        let (name, version) = match text.split_once('(') {
            None => (text.trim(), None),
            Some((name, rest)) => {
                let inside = rest.split(')').next()?.trim();
                let at = inside.find(|c: char| !"<>=".contains(c))?;
                let (bound, version) = inside.split_at(at);
                (
                    name.trim(),
                    Some((Bound::parse(bound)?, version.trim().to_owned())),
                )
            }
        };
        let (name, arch) = match name.split_once(':') {
            Some((name, arch)) => (name, Some(arch.to_owned())),
            None => (name, None),
        };
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            arch,
            version,
        })
    }

    /// Returns true when a package of this version is meant.
    pub(crate) fn allows(&self, version: &str) -> bool {
        (self.version.as_ref()).is_none_or(|(bound, limit)| bound.allows(version, limit))
    }

    /// Returns true when a package that provides the name, in this version if it says so, is meant: without a version
    /// only a relation without one.
    pub(crate) fn allows_provided(&self, provided: Option<&str>) -> bool {
        match (&self.version, provided) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((bound, limit)), Some(provided)) => bound.allows(provided, limit),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some((bound, version)) => write!(f, " ({} {version})", bound.text()),
            None => Ok(()),
        }
    }
}

/// Writes alternatives as a control file has them.
pub(crate) fn shown(clause: &[Relation]) -> String {
    let all: Vec<String> = clause.iter().map(ToString::to_string).collect();
    all.join(" | ")
}

/// Reads a field of relations. What cannot be read is left out, as nothing can have that name.
pub(crate) fn clauses(field: &str) -> Vec<Clause> {
    field
        .split(',')
        .map(|clause| clause.split('|').filter_map(Relation::parse).collect::<Clause>())
        .filter(|clause| !clause.is_empty())
        .collect()
}

/// Reads what a package provides: names, with versions where they are given.
pub(crate) fn provides(field: &str) -> Vec<(String, Option<String>)> {
    clauses(field)
        .into_iter()
        .flatten()
        .map(|relation| (relation.name, relation.version.map(|(_, version)| version)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let read =
            clauses("libc6 (>= 2.36), awk | mawk (<<2), python3:any (>= 3.11~), , x86 [amd64] ,y(=1:2)");
        let text: Vec<String> = read.iter().map(|clause| shown(clause)).collect();
        let expected = [
            "libc6 (>= 2.36)",
            "awk | mawk (<< 2)",
            "python3 (>= 3.11~)",
            "x86",
            "y (= 1:2)",
        ];
        assert_eq!(text, expected);
        assert_eq!(read[2][0].arch.as_deref(), Some("any"));
        assert!(clauses("").is_empty());
        assert_eq!(
            provides("a, b (= 1.2)"),
            [("a".into(), None), ("b".into(), Some("1.2".into()))]
        );
    }

    #[test]
    fn provided_names_count_by_their_version() {
        let plain = &clauses("a")[0][0];
        let bound = &clauses("a (>= 2)")[0][0];
        assert!(plain.allows_provided(None) && plain.allows_provided(Some("1")));
        assert!(!bound.allows_provided(None) && !bound.allows_provided(Some("1")));
        assert!(bound.allows_provided(Some("2")));
    }
}
