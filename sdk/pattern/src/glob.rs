//! Go's `filepath.Match`: one pattern, one name, no `**`.

use crate::error::PatternError;
use crate::pattern::Class;
use crate::runes;

enum Token {
    Literal(char),
    Any,
    Star,
    Class(Class),
}

/// Tells whether a pattern matches all of a name. `*` and `?` stop at `/`, `[…]` is a class, `\` escapes.
///
/// # Errors
/// [`PatternError::Syntax`] for a pattern that is not well formed, whatever the name.
pub fn glob_match(pattern: &str, name: &[u8]) -> Result<bool, PatternError> {
    let tokens = read(pattern).ok_or_else(|| PatternError::Syntax {
        pattern: pattern.to_owned(),
    })?;
    Ok(run(&tokens, name))
}

fn read(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => Token::Class(Class::read(&mut chars)?),
            '\\' => Token::Literal(chars.next()?),
            c => Token::Literal(c),
        });
    }
    Some(tokens)
}

/// Goes back to the last `*` only: an earlier one could not help.
fn run(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    loop {
        match tokens.get(token) {
            Some(Token::Star) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            Some(wanted) => {
                if let Some((c, length)) = runes::first(&name[at..])
                    && fits(wanted, c)
                {
                    token += 1;
                    at += length;
                    continue;
                }
            }
            None if at == name.len() => return true,
            None => {}
        }
        // Let the last star take one byte more.
        match star {
            Some((after, from)) if from < name.len() && name[from] != b'/' => {
                star = Some((after, from + 1));
                (token, at) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

fn fits(token: &Token, c: char) -> bool {
    match token {
        Token::Literal(literal) => *literal == c,
        Token::Any => c != '/',
        Token::Class(class) => class.holds(c),
        Token::Star => false,
    }
}
