//! "did you mean": the nearest known word.

/// Names further away than this are not what was meant.
const NEAR: usize = 3;

/// Returns the option nearest to a word, `None` when nothing is near or one option is the word itself.
pub fn nearest<'a>(word: &str, options: &[&'a str]) -> Option<&'a str> {
    if options.contains(&word) {
        return None;
    }
    let mut best = None;
    let mut least = NEAR;
    for option in options {
        let distance = distance(word, option);
        if distance < least {
            least = distance;
            best = Some(*option);
        }
    }
    best
}

/// Adds the nearest option to an error text; case matters.
pub fn exact(text: String, word: &str, options: &[&str]) -> String {
    match nearest(word, options) {
        Some(option) => format!("{text} (did you mean {option}?)"),
        None => text,
    }
}

/// Adds the nearest option to an error text; case does not matter and the option is shown in the word's.
pub fn any_case(text: String, word: &str, options: &[&str]) -> String {
    let lower: Vec<String> = options.iter().map(|o| o.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match nearest(&word.to_lowercase(), &lower) {
        Some(option) if word == word.to_uppercase() && word != word.to_lowercase() => {
            format!("{text} (did you mean {}?)", option.to_uppercase())
        }
        Some(option) => format!("{text} (did you mean {option}?)"),
        None => text,
    }
}

/// Counts the characters to insert, drop or change. Words that differ in length by [`NEAR`] are not counted out.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) >= NEAR {
        return NEAR;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::any_case;
    use super::exact;

    #[test]
    fn suggestions_are_buildkits() {
        let names = ["ADD", "COPY", "FROM", "RUN"];
        let check = |word: &str, expect: &str| assert_eq!(any_case(String::new(), word, &names), expect);
        check("COYP", " (did you mean COPY?)");
        check("coyp", " (did you mean copy?)");
        check("FOO", " (did you mean FROM?)");
        check("BADCMD", "");
        check("from", "");
        assert_eq!(
            exact("x".into(), "typ", &["type", "from"]),
            "x (did you mean type?)"
        );
        assert_eq!(exact("x".into(), "TYP", &["type", "from"]), "x");
    }
}
