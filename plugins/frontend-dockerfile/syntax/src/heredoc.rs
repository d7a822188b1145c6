//! Heredoc words: `<<EOF`, `<<-EOF`, `3<<"EOF"`.

use crate::ast::Heredoc;
use crate::error::SyntaxError;
use crate::shell::Lex;
use crate::shell::Quotes;

/// Reads one word. `None` when it is no heredoc; the content of the result is empty.
///
/// # Errors
/// A quote in the name that is not closed.
pub fn parse(word: &str) -> Result<Option<Heredoc>, SyntaxError> {
    let Some((fd, rest)) = word.split_once("<<") else {
        return Ok(None);
    };
    if !fd.bytes().all(|b| b.is_ascii_digit()) || rest.contains('<') {
        return Ok(None);
    }
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if rest.is_empty() {
        return Ok(None);
    }
    let none = |_: &str| None;
    let lex = Lex {
        skip_unset: true,
        ..Lex::new('\\')
    };
    let stripped = lex.process_words(rest, &none)?;
    let kept = Lex {
        quotes: Quotes::Keep,
        ..lex
    }
    .process_words(rest, &none)?;
    let ([name], [raw]) = (stripped.as_slice(), kept.as_slice()) else {
        return Ok(None);
    };
    // A quote that is gone was a quote: then nothing in the content is expanded.
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    Ok(Some(Heredoc {
        name: name.clone(),
        // A number no descriptor can have is as wrong as any other that is not open.
        fd: if fd.is_empty() {
            0
        } else {
            fd.parse().unwrap_or(u64::MAX)
        },
        expand: quotes(name) == quotes(raw),
        chomp,
        ..Heredoc::default()
    }))
}

/// Finds the heredocs that a line opens, in order.
///
/// # Errors
/// As [`parse`].
pub fn in_line(line: &str) -> Result<Vec<Heredoc>, SyntaxError> {
    let lex = Lex {
        quotes: Quotes::Keep,
        raw_escapes: true,
        skip_unset: true,
        ..Lex::new('\\')
    };
    // A line that cannot be read as shell words has no heredocs; whoever runs it will say what is wrong.
    let words = lex.process_words(line, &|_: &str| None).unwrap_or_default();
    let mut found = Vec::new();
    for word in &words {
        found.extend(parse(word)?);
    }
    Ok(found)
}

/// Drops the tabs at the start of every line, as `<<-` asks for.
pub fn chomp(content: &str) -> String {
    content
        .split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}
