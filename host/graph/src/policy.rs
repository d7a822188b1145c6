//! BuildKit's source policies (`sourcepolicy/pb/policy.proto` as JSON): which sources a build may use, and what stands
//! in for them. Pure: texts in, decisions out.

use std::collections::BTreeMap;

use regex_lite::Captures;
use regex_lite::Regex;
use serde::Deserialize;

use crate::op::Source;

/// How often a source may be changed before the rules are taken for a circle, as in BuildKit.
const MOST_CHANGES: usize = 20;
/// Bound on the size of one compiled expression, in bytes.
const EXPRESSION_SIZE: usize = 1 << 20;

/// Why a source may not be used, or a policy not be followed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The text is no policy.
    #[error("cannot read the source policy")]
    Read(#[source] serde_json::Error),
    /// It follows a format of the future.
    #[error("unsupported source policy version {0}, expected 1")]
    Version(i64),
    /// An identifier or constraint that cannot be compiled.
    #[error("invalid expression `{text}` in a source policy")]
    Expression {
        /// The expression.
        text: String,
        /// What is wrong.
        source: regex_lite::Error,
    },
    /// A `CONVERT` rule that does not say to what.
    #[error("missing destination for convert rule of `{0}` in a source policy")]
    NoDestination(String),
    /// A rule denies it.
    #[error("source {0:?} denied by policy")]
    Denied(String),
    /// The rules change a source on and on.
    #[error("too many operations on source {0:?} by policy (limit {MOST_CHANGES} re-evaluations)")]
    TooManyChanges(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Action {
    #[default]
    Allow,
    Deny,
    Convert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum MatchType {
    #[default]
    Wildcard,
    Exact,
    Regex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Condition {
    #[default]
    Equal,
    NotEqual,
    Matches,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstraintText {
    key: String,
    value: String,
    #[serde(default)]
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorText {
    identifier: String,
    #[serde(default, alias = "matchType")]
    match_type: MatchType,
    #[serde(default)]
    constraints: Vec<ConstraintText>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default)]
    action: Action,
    selector: SelectorText,
    updates: Option<Updates>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    #[serde(default)]
    version: i64,
    #[serde(default)]
    rules: Vec<RuleText>,
}

/// What an attribute has to be.
#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

#[derive(Debug, Clone)]
struct Rule {
    action: Action,
    identifier: String,
    /// None: the identifier has to be the same.
    pattern: Option<Regex>,
    constraints: Vec<(String, Test)>,
    updates: Option<Updates>,
}

/// A source policy: its rules in order, of which the last that matches decides.
#[derive(Debug, Clone)]
pub struct SourcePolicy {
    rules: Vec<Rule>,
}

fn expression(text: &str, pattern: &str) -> Result<Regex, PolicyError> {
    let built = regex_lite::RegexBuilder::new(pattern)
        .size_limit(EXPRESSION_SIZE)
        .build();
    built.map_err(|source| PolicyError::Expression {
        text: text.to_owned(),
        source,
    })
}

impl Rule {
    fn compile(text: RuleText) -> Result<Self, PolicyError> {
        let SelectorText {
            identifier,
            match_type,
            constraints,
        } = text.selector;
        let pattern = match match_type {
            MatchType::Exact => None,
            MatchType::Regex => Some(expression(&identifier, &identifier)?),
            MatchType::Wildcard => {
                let pieces: Vec<String> = identifier.split('*').map(regex_lite::escape).collect();
                Some(expression(&identifier, &format!("^{}$", pieces.join("(.*)")))?)
            }
        };
        let constraints = constraints.into_iter().map(|constraint| {
            let ConstraintText {
                key,
                value,
                condition,
            } = constraint;
            let test = match condition {
                Condition::Equal => Test::Equal(value),
                Condition::NotEqual => Test::NotEqual(value),
                Condition::Matches => Test::Matches(expression(&value, &value)?),
            };
            Ok((key, test))
        });
        Ok(Self {
            action: text.action,
            constraints: constraints.collect::<Result<_, PolicyError>>()?,
            updates: text.updates,
            identifier,
            pattern,
        })
    }

    fn matches(&self, source: &Source) -> bool {
        let holds = |(key, test): &(String, Test)| {
            let value = source.attrs.get(key).map_or("", String::as_str);
            match test {
                Test::Equal(wanted) => value == wanted,
                Test::NotEqual(unwanted) => value != unwanted,
                Test::Matches(pattern) => pattern.is_match(value),
            }
        };
        let same = || {
            source.identifier == self.identifier
                || self
                    .pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.is_match(&source.identifier))
        };
        self.constraints.iter().all(holds) && same()
    }

    /// Changes the source, and says whether anything is other than before.
    fn convert(&self, source: &mut Source) -> Result<bool, PolicyError> {
        let missing = || PolicyError::NoDestination(self.identifier.clone());
        let updates = self.updates.as_ref().ok_or_else(missing)?;
        let before = source.clone();
        if !updates.identifier.is_empty() {
            let captures = self.pattern.as_ref().and_then(|p| p.captures(&source.identifier));
            source.identifier = captures.map_or_else(
                || updates.identifier.clone(),
                |captures| expanded(&captures, &updates.identifier),
            );
        }
        source.attrs.extend(updates.attrs.clone());
        Ok(*source != before)
    }
}

fn expanded(captures: &Captures<'_>, template: &str) -> String {
    let mut text = String::new();
    captures.expand(template, &mut text);
    text
}

impl SourcePolicy {
    /// Reads a policy from BuildKit's JSON.
    ///
    /// # Errors
    /// Text that is none, a version that is not known, expressions that do not compile.
    pub fn parse(json: &[u8]) -> Result<Self, PolicyError> {
        let text: PolicyText = serde_json::from_slice(json).map_err(PolicyError::Read)?;
        if !matches!(text.version, 0 | 1) {
            return Err(PolicyError::Version(text.version));
        }
        let rules = text
            .rules
            .into_iter()
            .map(Rule::compile)
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Applies the rules once, and says whether the source was changed.
    fn apply(&self, source: &mut Source) -> Result<bool, PolicyError> {
        let mut denied = false;
        for rule in &self.rules {
            if !rule.matches(source) {
                continue;
            }
            match rule.action {
                Action::Allow => denied = false,
                Action::Deny => denied = true,
                Action::Convert => {
                    if rule.convert(source)? {
                        return Ok(true);
                    }
                }
            }
        }
        match denied {
            true => Err(PolicyError::Denied(source.identifier.clone())),
            false => Ok(false),
        }
    }
}

/// Changes a source as the policies say, and says whether it was changed. A policy that denies it cannot be overruled
/// by another one.
///
/// # Errors
/// It is denied, or the rules never come to an end.
pub fn apply_policies(policies: &[SourcePolicy], source: &mut Source) -> Result<bool, PolicyError> {
    let first = source.identifier.clone();
    for changes in 0..=MOST_CHANGES {
        let mut changed = false;
        for policy in policies {
            changed = policy.apply(source)?;
            if changed {
                break;
            }
        }
        if !changed {
            return Ok(changes > 0);
        }
    }
    Err(PolicyError::TooManyChanges(first))
}
