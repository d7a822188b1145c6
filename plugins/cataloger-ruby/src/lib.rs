//! Finds installed Ruby gems: `specifications/*.gemspec`.
//!
//! Knows nothing of how files come here, and runs no Ruby: a value that is no plain text is not known.

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;

/// The cataloger `ruby`.
#[derive(Debug, Clone, Copy)]
pub struct Ruby;

impl Cataloger for Ruby {
    fn interests() -> Vec<Interest> {
        vec![Interest {
            id: "specification".to_owned(),
            globs: vec!["**/specifications/**/*.gemspec".to_owned()],
            max_size: 1 << 20,
            head: None,
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        Ok(files.iter().filter_map(package).collect())
    }
}

fn package(file: &Matched) -> Option<PackageInfo> {
    let text = String::from_utf8_lossy(&file.content);
    let first = |key: &str| values(&text, key).into_iter().next().unwrap_or_default();
    let (name, version) = (first("name"), first("version"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let platform = match first("platform").as_str() {
        "ruby" => String::new(),
        other => other.to_owned(),
    };
    let purl = Purl::new("gem", &name, &version).qualifier("platform", &platform);
    let mut package = Package::new(&name, &version, &purl)
        .location(&file.path)
        .attr("originator", &first("authors"))
        .attr("homepage", &first("homepage"))
        .attr("source-info", "installed gem's specification")
        .attr("description", &first("summary"));
    for license in values(&text, "license")
        .into_iter()
        .chain(values(&text, "licenses"))
    {
        package = package.license(&license);
    }
    Some(package.done())
}

/// Returns the texts that are given to a key: `s.key = "a".freeze` or a list of such.
fn values(text: &str, key: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| {
        let (receiver, rest) = line.trim().split_once('.')?;
        let (name, value) = rest.split_once('=')?;
        let plain = receiver.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (plain && name.trim() == key && !value.starts_with('=')).then_some(value.trim())
    });
    let line = line.unwrap_or_default();
    // As in `Gem::Version.new("1.0")`.
    let value = line.strip_prefix("Gem::Version.new(").unwrap_or(line);
    if !value.starts_with(['"', '\'', '[']) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = rest.as_bytes()[start];
        let Some((text, behind)) = quoted(&rest[start + 1..], quote) else {
            break;
        };
        found.push(text);
        rest = behind;
    }
    found
}

/// Reads up to the closing quote.
fn quoted(text: &str, quote: u8) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            c if c == char::from(quote) => return Some((out, &text[at + 1..])),
            // What Ruby would have to compute.
            '#' if quote == b'"' && text[at + 1..].starts_with('{') => return None,
            c => out.push(c),
        }
    }
    None
}

kiln_sdk::export_cataloger!(Ruby);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    #[test]
    fn specifications_are_packages() {
        let check = |text: &str, expect: Option<(&str, &[&str])>| {
            let file = matched("specification", "a/specifications/a.gemspec", text.as_bytes());
            let found = Ruby::catalog(vec![file]).unwrap();
            let found = found.first().map(|p| (p.purl.clone(), p.licenses.clone()));
            let expect = expect.map(|(purl, l)| (purl.to_owned(), l.iter().map(|&l| l.to_owned()).collect()));
            assert_eq!(found, expect, "{text}");
        };
        check(
            "  s.name = \"rack\".freeze\n  s.version = \"2.2.4\"\n  s.licenses = [\"MIT\".freeze, 'Ruby']\n",
            Some(("pkg:gem/rack@2.2.4", &["MIT", "Ruby"])),
        );
        check(
            "spec.name = 'a'\nspec.version = Gem::Version.new(\"1.0\")\nspec.license = \"MIT\"\n",
            Some(("pkg:gem/a@1.0", &["MIT"])),
        );
        check(
            "s.name = \"n\"\ns.version = \"1\"\ns.platform = \"x86_64-linux\".freeze",
            Some(("pkg:gem/n@1?platform=x86_64-linux", &[])),
        );
        check("s.name = \"a\"\ns.version = VERSION\n", None);
        check("s.name = \"a#{b}\"\ns.version = \"1\"\n", None);
        check("s.name = \"a\ns.version = \"1\"\n", None);
        check("s.name == \"a\"\ns.version = \"1\"\n", None);
        check("s.name = \"\\", None);
    }
}
