//! What catalogers share: package URLs, the distribution's name, and how a package is put together.

use crate::cataloger::Matched;
use crate::cataloger::PackageInfo;
use crate::cataloger::Relation;
use crate::types::Attr;

/// A package URL in the making (purl specification).
#[derive(Debug, Clone)]
pub struct Purl {
    kind: &'static str,
    namespace: Vec<String>,
    name: String,
    version: String,
    qualifiers: Vec<(&'static str, String)>,
}

impl Purl {
    /// Returns the URL of a package of this type, such as `deb`.
    pub fn new(kind: &'static str, name: &str, version: &str) -> Self {
        Self {
            kind,
            namespace: Vec::new(),
            name: name.to_owned(),
            version: version.to_owned(),
            qualifiers: Vec::new(),
        }
    }

    /// Adds a namespace; its parts are separated by `/`.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace
            .extend(namespace.split('/').filter(|p| !p.is_empty()).map(str::to_owned));
        self
    }

    /// Adds a qualifier, unless its value is empty.
    #[must_use]
    pub fn qualifier(mut self, key: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.push((key, value.to_owned()));
        }
        self
    }
}

impl std::fmt::Display for Purl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pkg:{}", self.kind)?;
        for part in self.namespace.iter().chain([&self.name]) {
            write!(f, "/{}", escape(part))?;
        }
        if !self.version.is_empty() {
            write!(f, "@{}", escape(&self.version))?;
        }
        let mut qualifiers = self.qualifiers.clone();
        qualifiers.sort();
        for (at, (key, value)) in qualifiers.iter().enumerate() {
            let sign = if at == 0 { '?' } else { '&' };
            write!(f, "{sign}{key}={}", escape(value).replace("%2F", "/"))?;
        }
        Ok(())
    }
}

/// A colon is never escaped.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The distribution that a root file system is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`.
    pub version: String,
}

impl OsRelease {
    /// Paths of the file; the first that is there counts.
    pub const PATHS: [&'static str; 2] = ["etc/os-release", "usr/lib/os-release"];

    /// Finds the file among those that were matched.
    pub fn find(files: &[Matched]) -> Self {
        let found = Self::PATHS
            .iter()
            .find_map(|path| files.iter().find(|file| file.path == *path));
        found.map_or_else(Self::default, |file| {
            Self::parse(&String::from_utf8_lossy(&file.content))
        })
    }

    /// Reads the file.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            let quotes: &[char] = &['"', '\''];
            line.unwrap_or_default().trim().trim_matches(quotes).to_owned()
        };
        Self {
            id: value("ID"),
            version: value("VERSION_ID"),
        }
    }

    /// Returns `id-version`, as the purl qualifier `distro` has it.
    pub fn distro(&self) -> String {
        match (self.id.is_empty(), self.version.is_empty()) {
            (true, _) => String::new(),
            (false, true) => self.id.clone(),
            (false, false) => format!("{}-{}", self.id, self.version),
        }
    }
}

/// A package in the making.
#[derive(Debug, Clone)]
pub struct Package(PackageInfo);

impl Package {
    /// Starts a package.
    pub fn new(name: &str, version: &str, purl: &Purl) -> Self {
        Self(PackageInfo {
            name: name.to_owned(),
            version: version.to_owned(),
            purl: purl.to_string(),
            licenses: Vec::new(),
            locations: Vec::new(),
            relations: Vec::new(),
            attrs: Vec::new(),
        })
    }

    /// Adds a licence, unless it is empty or known.
    #[must_use]
    pub fn license(mut self, license: &str) -> Self {
        let license = license.trim();
        if !license.is_empty() && !self.0.licenses.iter().any(|known| known == license) {
            self.0.licenses.push(license.to_owned());
        }
        self
    }

    /// Adds a file that shows the package.
    #[must_use]
    pub fn location(mut self, path: &str) -> Self {
        self.0.locations.push(path.to_owned());
        self
    }

    /// Adds a fact, unless it is empty.
    #[must_use]
    pub fn attr(mut self, key: &str, value: &str) -> Self {
        let value = value.trim();
        if !value.is_empty() {
            self.0.attrs.push(Attr {
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
        self
    }

    /// Adds a package that this one needs.
    #[must_use]
    pub fn needs(mut self, purl: &str) -> Self {
        self.0.relations.push(Relation {
            purl: purl.to_owned(),
            kind: "DEPENDS_ON".to_owned(),
        });
        self
    }

    /// Returns the package.
    pub fn done(self) -> PackageInfo {
        self.0
    }
}

/// Returns the fields of paragraphs as in Debian's control files: `Key: value` with continuation lines.
pub fn paragraphs(text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut current: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            if !current.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            current.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !current.is_empty() {
        all.push(current);
    }
    all
}

/// Returns a field of a paragraph; empty when it is missing. The case of keys does not count.
pub fn field<'a>(paragraph: &'a [(String, String)], key: &str) -> &'a str {
    let found = paragraph.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map_or("", |(_, value)| value.as_str())
}

/// Tells people that something of a file could not be understood; what could be is still found.
pub fn warn(path: &str, what: &str) {
    let line = format!("`{}`: {what}", path.escape_debug());
    #[cfg(target_arch = "wasm32")]
    crate::bindings::api::kiln::plugin::log::log(crate::types::Level::Warn, &line);
    #[cfg(not(target_arch = "wasm32"))]
    crate::mock::note_warning(line);
}

/// Makes a matched file, for tests of catalogers.
pub fn matched(interest: &str, path: &str, content: &[u8]) -> Matched {
    Matched {
        interest: interest.to_owned(),
        path: path.to_owned(),
        digest: String::new(),
        content: content.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_are_written_as_specified() {
        let purl = Purl::new("deb", "busybox", "1:1.35.0-4+b3").namespace("debian");
        let purl = purl.qualifier("distro", "debian-12").qualifier("arch", "amd64");
        assert_eq!(
            purl.to_string(),
            "pkg:deb/debian/busybox@1:1.35.0-4%2Bb3?arch=amd64&distro=debian-12"
        );
        let npm = Purl::new("npm", "core", "1.0").namespace("@babel");
        assert_eq!(npm.to_string(), "pkg:npm/%40babel/core@1.0");
    }

    /// Vectors of the specification's examples, and what has to be escaped.
    #[test]
    fn purls_of_all_types() {
        let check = |purl: Purl, expect: &str| assert_eq!(purl.to_string(), expect);
        check(
            Purl::new("deb", "curl", "7.50.3-1")
                .namespace("debian")
                .qualifier("distro", "jessie")
                .qualifier("arch", "i386"),
            "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie",
        );
        check(
            Purl::new("golang", "genproto", "abcdedf").namespace("google.golang.org"),
            "pkg:golang/google.golang.org/genproto@abcdedf",
        );
        check(
            Purl::new("maven", "xmlgraphics-commons", "1.5").namespace("org.apache.xmlgraphics"),
            "pkg:maven/org.apache.xmlgraphics/xmlgraphics-commons@1.5",
        );
        check(
            Purl::new("npm", "animation", "12.3.1").namespace("@angular"),
            "pkg:npm/%40angular/animation@12.3.1",
        );
        check(Purl::new("pypi", "django", "1.11.1"), "pkg:pypi/django@1.11.1");
        check(
            Purl::new("gem", "ruby-advisory-db-check", "0.12.4").qualifier("platform", ""),
            "pkg:gem/ruby-advisory-db-check@0.12.4",
        );
        check(
            Purl::new("rpm", "curl", "7.50.3-1.fc25")
                .namespace("fedora")
                .qualifier("distro", "fedora-25")
                .qualifier("arch", "i386"),
            "pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25",
        );
        check(
            Purl::new("generic", "a b/c?d#e%f", "1@2+\u{fc}").qualifier("q", "x&y=z"),
            "pkg:generic/a%20b%2Fc%3Fd%23e%25f@1%402%2B%C3%BC?q=x%26y%3Dz",
        );
        check(
            Purl::new("composer", "log", "").namespace("/psr//x/"),
            "pkg:composer/psr/x/log",
        );
    }

    #[test]
    fn paragraphs_have_fields() {
        let text = "A: 1\nB: two\n lines\n\n\nA: 2\n";
        let found = paragraphs(text);
        assert_eq!(found.len(), 2);
        assert_eq!(field(&found[0], "b"), "two\nlines");
        assert_eq!(field(&found[1], "A"), "2");
        assert_eq!(field(&found[1], "B"), "");
    }

    #[test]
    fn os_release_is_read() {
        let os = OsRelease::parse("NAME=\"x\"\nID=debian\nVERSION_ID=\"12\"\n");
        assert_eq!(os.distro(), "debian-12");
    }
}
