//! Licences as SPDX expressions; those that SPDX does not know get a name of their own.

use std::collections::BTreeMap;

use spdx::Expression;
use spdx::ParseMode;

/// Makes one expression of what was found. Names that SPDX does not know are noted in `extracted`.
pub(super) fn expression(found: &[String], extracted: &mut BTreeMap<String, String>) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for text in found {
        let part = known(text).unwrap_or_else(|| reference(text, extracted));
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => {
            let bracketed = many.iter().map(|part| match part.contains(' ') {
                true => format!("({part})"),
                false => part.clone(),
            });
            Some(bracketed.collect::<Vec<_>>().join(" AND "))
        }
    }
}

/// Returns the text as a valid expression, if it can be read as one.
pub(super) fn known(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1000 {
        return None;
    }
    let canonical = Expression::canonicalize(text).ok()?;
    let canonical = canonical.unwrap_or_else(|| text.to_owned());
    let mode = ParseMode {
        allow_deprecated: true,
        ..ParseMode::STRICT
    };
    Expression::parse_mode(&canonical, mode).ok()?;
    Some(canonical)
}

fn reference(text: &str, extracted: &mut BTreeMap<String, String>) -> String {
    let mut name = String::from("LicenseRef-");
    for c in text.chars().take(80) {
        let plain = c.is_ascii_alphanumeric() || c == '.' || c == '-';
        name.push(if plain { c } else { '-' });
    }
    if text.chars().count() > 80 {
        name.push('-');
        name.push_str(&kiln_image::Digest::of(text).short());
    }
    extracted.entry(name.clone()).or_insert_with(|| text.to_owned());
    name
}
