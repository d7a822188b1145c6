//! Keeps values that look like secrets out of what is published.

use serde_json::Value;

/// What stands for a value that was left out.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are replaced only where their name stands beside them: they occur everywhere.
const SHORTEST: usize = 4;

/// Words that make a name a secret's: those of BuildKit's rule `SecretsUsedInArgOrEnv`.
const WORDS: &[&str] = &[
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];

/// Tells whether a variable of that name is likely to hold a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split('_').collect();
    !words.contains(&"public") && words.iter().any(|word| WORDS.contains(word))
}

/// Replaces the values of variables that look like secrets, wherever they stand.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    values: Vec<String>,
}

impl Scrubber {
    /// Learns the values to hide from build arguments.
    pub fn new<'a>(args: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let secret = args.into_iter().filter(|(name, _)| is_secret_name(name));
        let mut values: Vec<String> = secret
            .map(|(_, value)| value.to_owned())
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        // A value that contains another one goes first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// Returns the value to publish for a variable.
    pub fn value(&self, name: &str, value: &str) -> String {
        if is_secret_name(name) && !value.is_empty() {
            REDACTED.to_owned()
        } else {
            self.text(value)
        }
    }

    /// Returns the text without the values. `NAME=value` loses its value when the name is a secret's.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for value in &self.values {
            if out.contains(value) {
                out = out.replace(value, REDACTED);
            }
        }
        out
    }

    fn assignment(&self, text: &str) -> String {
        match text.split_once('=') {
            Some((name, value)) if is_name(name) => format!("{name}={}", self.value(name, value)),
            _ => self.text(text),
        }
    }

    /// Replaces in every string of a document.
    pub fn document(&self, document: &mut Value) {
        match document {
            Value::String(text) => *text = self.assignment(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.document(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.document(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["TOKEN", "NPM_TOKEN", "api_key", "DB_PASSWORD", "AUTH"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["MONKEY", "VERSION", "PUBLIC_KEY", "TOKENS", "AUTHOR"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_are_replaced_wherever_they_stand() {
        let scrubber = Scrubber::new([("NPM_TOKEN", "hunter22"), ("KEY", "ab"), ("A", "plain")]);
        let mut document = serde_json::json!({"args": ["curl -H hunter22"], "env": ["NPM_TOKEN=hunter22", "KEY=ab", "A=plain"]});
        scrubber.document(&mut document);
        let expect = serde_json::json!({"args": ["curl -H [redacted]"], "env": ["NPM_TOKEN=[redacted]", "KEY=[redacted]", "A=plain"]});
        assert_eq!(document, expect);
    }
}
