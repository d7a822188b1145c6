//! The value of `# check=`: which lints are skipped, which experimental ones are on, whether warnings are errors.

use crate::error::SyntaxError;
use crate::go;

/// Which rules a word such as `skip=` names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Whether it says `all`.
    pub all: bool,
    /// The names.
    pub names: Vec<String>,
}

impl Rules {
    fn read(value: &str) -> Self {
        match value.trim() {
            "all" => Self {
                all: true,
                names: Vec::new(),
            },
            list => Self {
                all: false,
                names: list.split(',').map(|name| name.trim().to_owned()).collect(),
            },
        }
    }

    /// Tells whether a rule is named.
    pub fn contains(&self, rule: &str) -> bool {
        self.all || self.names.iter().any(|name| name == rule)
    }
}

/// What a `# check=` directive says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// `skip=`: rules that are not checked.
    pub skip: Rules,
    /// `experimental=`: rules that are checked although they are not finished.
    pub experimental: Rules,
    /// `error=`: whether a warning fails the build.
    pub error: bool,
}

/// Reads `skip=A,B;error=true;experimental=all`.
///
/// # Errors
/// An option that is none, or a truth value that is none.
pub fn parse(text: &str) -> Result<CheckOptions, SyntaxError> {
    let mut options = CheckOptions::default();
    if text.trim().is_empty() {
        return Ok(options);
    }
    for part in text.trim().splitn(3, ';') {
        let invalid = |shown: &str| SyntaxError::new(format!("invalid check option {}", go::quote(shown)));
        let (key, value) = part.split_once('=').ok_or_else(|| invalid(part))?;
        match key.trim() {
            "skip" => options.skip = Rules::read(value),
            "experimental" => options.experimental = Rules::read(value),
            "error" => {
                options.error = go::parse_bool(value.trim()).ok_or_else(|| {
                    SyntaxError::new(format!("failed to parse check option {}", go::quote(part)))
                })?;
            }
            key => return Err(invalid(key)),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn options() {
        let check = |text: &str, expect: &str| {
            let got = match parse(text) {
                Ok(o) => format!("{} {:?} {}", o.skip.all, o.skip.names, o.error),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expect, "{text:?}");
        };
        check("", "false [] false");
        check("skip=all", "true [] false");
        check("skip=A, B;error=true", "false [\"A\", \"B\"] true");
        check("error=maybe", "failed to parse check option \"error=maybe\"");
        check("what=1", "invalid check option \"what\"");
        check("skip", "invalid check option \"skip\"");
        assert!(parse("skip=A;experimental=B").unwrap().experimental.contains("B"));
    }
}
