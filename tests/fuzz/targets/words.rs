//! Shell words, and the small languages inside Dockerfile words.

use kiln_dockerfile_syntax::chmod;
use kiln_dockerfile_syntax::duration;
use kiln_dockerfile_syntax::heredoc;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::ports;
use kiln_dockerfile_syntax::shell::Lex;
use kiln_dockerfile_syntax::shell::Quotes;
use kiln_dockerfile_syntax::signal;
use kiln_dockerfile_syntax::units;

use crate::engine::Target;
use crate::engine::shape;
use crate::targets::shared_texts;

/// Largest text that a word of a few KiB may become.
const MAX_TEXT: usize = 64 << 20;

pub(crate) fn target() -> Target {
    Target {
        name: "words",
        run,
        tokens: &[
            b"$",
            b"${",
            b"}",
            b"$a",
            b"${a",
            b"${b",
            b":-",
            b":+",
            b":?",
            b"-",
            b"+",
            b"?",
            b"#",
            b"##",
            b"%",
            b"%%",
            b"/",
            b"//",
            b"*",
            b"\\",
            b"'",
            b"\"",
            b" ",
            b"`",
            b"${a:-${b:+$a}}",
            b"\xc3\xa9",
            b"<<-",
            b"1h2m3.5s",
            b"SIGRTMIN+1",
            b"[::1]:80-90:80-90/tcp",
            b"u=rwX,go-w",
            b"1.5GiB",
        ],
        seeds: shared_texts(
            "conformance/shell/lex_test.json",
            "process_word_with_matches",
            "input",
        ),
    }
}

fn run(bytes: &[u8]) -> String {
    let word = String::from_utf8_lossy(bytes);
    let env = |name: &str| match name {
        "a" => Some("abcabc".to_owned()),
        "b" => Some(String::new()),
        _ => None,
    };
    let lexes = [
        Lex::new('\\'),
        Lex {
            skip_unset: true,
            raw_escapes: true,
            quotes: Quotes::Keep,
            ..Lex::new('`')
        },
        Lex::for_heredoc(),
    ];
    let outcomes = lexes.map(|lex| match lex.process(&word, &env) {
        Ok(done) => {
            assert!(
                done.text.len() <= MAX_TEXT,
                "{} bytes become {}",
                word.len(),
                done.text.len()
            );
            assert!(
                done.matched.is_disjoint(&done.unmatched),
                "a variable is set and not set"
            );
            format!("ok {} {}", done.words.len().min(4), done.matched.len().min(3))
        }
        // The rest quotes the word.
        Err(error) => shape(error.error.message().rsplit(": ").next().unwrap_or_default()),
    });
    small_languages(&word);
    outcomes.join("|")
}

fn small_languages(word: &str) {
    if let Ok(nanoseconds) = duration::parse(word) {
        let text = duration::format(nanoseconds);
        assert_eq!(duration::parse(&text), Ok(nanoseconds), "`{word}` is `{text}`");
    }
    let _ = chmod::parse(word);
    let _ = heredoc::parse(word);
    let _ = heredoc::in_line(word);
    let _ = instructions::parse_trigger(word);
    let _ = ports::parse(&word.split(' ').collect::<Vec<_>>());
    let _ = signal::parse(word);
    let _ = units::ram_in_bytes(word);
}
