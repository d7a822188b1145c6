//! Licences of copyright files: the machine-readable form, and names of common licences in free text.

use std::collections::BTreeSet;

/// Returns the licences that a copyright file names, as SPDX identifiers where the name is known.
pub(crate) fn licenses(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let value = line
            .get(..8)
            .filter(|head| head.eq_ignore_ascii_case("license:"))
            .map(|_| line[8..].trim());
        if let Some(value) = value {
            names(value).for_each(|name| {
                found.insert(spdx(name));
            });
        }
        for part in line.split("/usr/share/common-licenses/").skip(1) {
            let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || "._+-".contains(c)));
            let name = part[..end.unwrap_or(part.len())].trim_end_matches(['.', '-']);
            if !name.is_empty() {
                found.insert(spdx(name));
            }
        }
    }
    // Words for all that stands elsewhere say nothing.
    found.retain(|name| !name.is_empty() && name.len() < 100);
    found.into_iter().collect()
}

/// Splits `GPL-2+ and/or MIT`, and leaves exceptions out.
fn names(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(", ")
        .flat_map(|part| part.split(" and/or "))
        .flat_map(|part| part.split(" and "))
        .flat_map(|part| part.split(" or "))
        .map(|name| name.split(" with ").next().unwrap_or(name))
        .map(|name| name.trim().trim_matches([',', '(', ')']))
        .filter(|name| !name.is_empty())
}

/// Debian's short names that differ from SPDX' identifiers.
fn spdx(name: &str) -> String {
    let (base, later) = match name.strip_suffix('+') {
        Some(base) => (base, true),
        None => (name, false),
    };
    let upper = base.to_ascii_uppercase();
    for family in ["AGPL", "LGPL", "GPL", "GFDL"] {
        let Some(version) = upper.strip_prefix(family).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        if !version.starts_with(|c: char| c.is_ascii_digit()) || version.len() > 3 {
            break;
        }
        let version = if version.contains('.') {
            version.to_owned()
        } else {
            format!("{version}.0")
        };
        let end = if later { "or-later" } else { "only" };
        return format!("{family}-{version}-{end}");
    }
    let known = match upper.as_str() {
        "APACHE-2" | "APACHE-2.0" => "Apache-2.0",
        "ARTISTIC" => "Artistic-1.0-Perl",
        "BSD-2-CLAUSE" => "BSD-2-Clause",
        "BSD-3-CLAUSE" | "BSD" => "BSD-3-Clause",
        "BSD-4-CLAUSE" => "BSD-4-Clause",
        "EXPAT" | "MIT" => "MIT",
        "ISC" => "ISC",
        "MPL-1.1" => "MPL-1.1",
        "MPL-2.0" => "MPL-2.0",
        "CC0" | "CC0-1.0" => "CC0-1.0",
        "ZLIB" => "Zlib",
        _ => return name.to_owned(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        let check = |text: &str, expect: &[&str]| assert_eq!(licenses(text), expect, "{text}");
        check("License: GPL-2+", &["GPL-2.0-or-later"]);
        check("License: LGPL-2.1+ and Expat", &["LGPL-2.1-or-later", "MIT"]);
        check("License: GPL-3+ with OpenSSL exception", &["GPL-3.0-or-later"]);
        check("see `/usr/share/common-licenses/GPL-3'.", &["GPL-3.0-only"]);
        check("in /usr/share/common-licenses/Apache-2.0.", &["Apache-2.0"]);
        check("License: something-own", &["something-own"]);
        check("Licens\u{e9}: x", &[]);
    }
}
