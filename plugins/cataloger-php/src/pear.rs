//! PEAR's registry: a file for each package, in the form of PHP's `serialize`.

use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;

/// Deepest nesting that is read.
const DEPTH: usize = 16;

/// A value, as far as it counts here.
enum Value<'a> {
    Text(&'a str),
    Map(Vec<(&'a str, Value<'a>)>),
    Other,
}

impl<'a> Value<'a> {
    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> &'a str {
        match self.get(key) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }
}

/// Returns the package that a file of the registry describes.
pub(crate) fn package(file: &Matched) -> Option<PackageInfo> {
    let (value, _) = value(&file.content, 0)?;
    let (name, channel) = (value.text("name"), value.text("channel"));
    let version = value
        .get("version")
        .map_or("", |version| match version.text("release") {
            "" => value.text("version"),
            release => release,
        });
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let channel = if channel.is_empty() {
        "pear.php.net"
    } else {
        channel
    };
    let purl = Purl::new("pear", name, version).namespace(channel);
    let license = match value.get("license") {
        Some(Value::Text(text)) => text,
        Some(license) => license.text("_content"),
        None => "",
    };
    let package = Package::new(name, version, &purl)
        .location(&file.path)
        .license(license)
        .attr("source-info", "PEAR's registry")
        .attr("description", value.text("summary"));
    Some(package.done())
}

/// Reads one value; returns it with what follows.
fn value(bytes: &[u8], depth: usize) -> Option<(Value<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        b's' => {
            let (length, rest) = number(rest.strip_prefix(b":")?)?;
            let rest = rest.strip_prefix(b":\"")?;
            let (text, rest) = rest.split_at_checked(length)?;
            let text = std::str::from_utf8(text).unwrap_or_default();
            Some((Value::Text(text), rest.strip_prefix(b"\";")?))
        }
        b'a' if depth < DEPTH => {
            let (count, rest) = number(rest.strip_prefix(b":")?)?;
            let mut rest = rest.strip_prefix(b":{")?;
            let mut pairs = Vec::new();
            for _ in 0..count {
                let (key, behind) = value(rest, depth + 1)?;
                let (found, behind) = value(behind, depth + 1)?;
                if let Value::Text(key) = key {
                    pairs.push((key, found));
                }
                rest = behind;
            }
            Some((Value::Map(pairs), rest.strip_prefix(b"}")?))
        }
        b'i' | b'b' | b'd' | b'N' => {
            let end = rest.iter().position(|&byte| byte == b';')?;
            Some((Value::Other, &rest[end + 1..]))
        }
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}
