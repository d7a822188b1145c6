//! containerd's filter expressions, over usage records: `type==regular,inuse!=true`, `id~=^sha256`, `!shared` is
//! written `private`.

use std::str::FromStr;

use regex_lite::Regex;

use crate::StoreError;
use crate::usage::UsageRecord;

/// Conditions that must all hold, separated by commas.
#[derive(Debug, Clone)]
pub struct Filter(Vec<Condition>);

#[derive(Debug, Clone)]
struct Condition {
    field: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Filter {
    /// The filter `type==<kind>`.
    pub(crate) fn of_type(kind: &str) -> Self {
        Self(vec![Condition {
            field: "type".to_owned(),
            test: Test::Equal(kind.to_owned()),
        }])
    }

    /// Whether a record satisfies all conditions. A field that the record has not got equals nothing.
    pub fn matches(&self, record: &UsageRecord) -> bool {
        self.0.iter().all(|condition| {
            let value = field(record, &condition.field);
            match &condition.test {
                Test::Present => value.is_some(),
                Test::Equal(wanted) => value.is_some_and(|v| v == *wanted),
                Test::NotEqual(wanted) => value.is_none_or(|v| v != *wanted),
                Test::Matches(regex) => value.is_some_and(|v| regex.is_match(&v)),
            }
        })
    }
}

/// The value of a field, as BuildKit names them. The conditions `inuse`, `shared` and so on are there or not, and
/// have no value.
fn field(record: &UsageRecord, name: &str) -> Option<String> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let flag = |set: bool| set.then(String::new);
    let mutable = matches!(record.record_type.as_str(), "exec.cachemount" | "source.local");
    match name {
        "id" => text(&record.id),
        "parents" => {
            let parents = record
                .owners
                .iter()
                .map(|o| format!("{}/{}", o.bucket, o.key.escape_ascii()));
            text(&parents.collect::<Vec<_>>().join(";"))
        }
        "description" => text(&record.description),
        "type" => text(if record.record_type.is_empty() {
            "regular"
        } else {
            &record.record_type
        }),
        "inuse" => flag(record.in_use),
        "mutable" => flag(mutable),
        "immutable" => flag(!mutable),
        "shared" => flag(record.shared),
        "private" => flag(!record.shared),
        _ => None,
    }
}

impl FromStr for Filter {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let mut parser = Parser { text, at: 0 };
        let mut conditions = Vec::new();
        loop {
            conditions.push(parser.condition()?);
            if parser.rest().is_empty() {
                return Ok(Self(conditions));
            }
            if !parser.eat(",") {
                return Err(parser.error("expected `,` or the end"));
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn condition(&mut self) -> Result<Condition, StoreError> {
        let field = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if field.is_empty() {
            return Err(self.error("expected a field"));
        }
        let field = field.to_owned();
        let test = if self.eat("==") {
            Test::Equal(self.value(&['"'])?)
        } else if self.eat("!=") {
            Test::NotEqual(self.value(&['"'])?)
        } else if self.eat("~=") {
            let start = self.at;
            let regex = Regex::new(&self.value(&['"', '/', '|'])?);
            regex.map(Test::Matches).map_err(|_| {
                self.at = start;
                self.error("expected a regular expression")
            })?
        } else if self.rest().is_empty() || self.rest().starts_with(',') {
            Test::Present
        } else {
            return Err(self.error("expected an operator `==`, `!=` or `~=`"));
        };
        Ok(Condition { field, test })
    }

    /// A value: between two of one of `quotes`, or everything up to the next comma.
    fn value(&mut self, quotes: &[char]) -> Result<String, StoreError> {
        let quote = self.rest().chars().next().filter(|c| quotes.contains(c));
        let Some(quote) = quote else {
            return Ok(self.word(|c| c != ',').to_owned());
        };
        let inner = &self.rest()[1..];
        let mut value = String::new();
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + 2;
                    return Ok(value);
                }
                // Within a regular expression a backslash is the expression's, but for the quote.
                '\\' => match chars.next() {
                    Some((_, next)) if next == quote || (quote == '"' && next == '\\') => value.push(next),
                    Some((_, next)) => value.extend(['\\', next]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(self.error("expected the closing quote"))
    }

    fn word(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn error(&self, expected: &str) -> StoreError {
        let short = |text: &str| text.chars().take(80).collect();
        StoreError::Filter {
            text: short(&self.text[..self.at]),
            at: short(self.rest()),
            expected: expected.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::UsageKind;
    use std::time::UNIX_EPOCH;

    fn check(filter: &str, expected: &str) {
        let record = UsageRecord {
            id: "sha256:ab".to_owned(),
            kind: UsageKind::Owner,
            size: 1,
            created: UNIX_EPOCH,
            last_used: UNIX_EPOCH,
            uses: 1,
            in_use: false,
            pinned: false,
            shared: true,
            record_type: "source.local".to_owned(),
            description: "local source, for context".to_owned(),
            owners: Vec::new(),
        };
        let got = match filter.parse::<Filter>() {
            Ok(filter) => filter.matches(&record).to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{filter}");
    }

    #[test]
    fn conditions() {
        check("id==sha256:ab", "true");
        check("id~=^sha256:a", "true");
        check("id~=/b$/", "true");
        check("id!=sha256:ab", "false");
        check("type==source.local,shared", "true");
        check("type==source.local,private", "false");
        check("mutable", "true");
        check("immutable", "false");
        check("inuse", "false");
        check("parents==x", "false");
        check("parents!=x", "true");
        check("description==\"local source, for context\"", "true");
        check("unknown", "false");
    }

    #[test]
    fn errors_show_the_place() {
        check(
            "id+x",
            "parse error: [id >|+x|<]: expected an operator `==`, `!=` or `~=`",
        );
        check("", "parse error: [ >||<]: expected a field");
        check(
            "id==\"x",
            "parse error: [id== >|\"x|<]: expected the closing quote",
        );
        check(
            "id~=(",
            "parse error: [id~= >|(|<]: expected a regular expression",
        );
        check(
            "id==\"x\"y",
            "parse error: [id==\"x\" >|y|<]: expected `,` or the end",
        );
    }
}
