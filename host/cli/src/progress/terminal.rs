//! What the terminal can do: its size and whether it wants colour.

use std::io;
use std::io::IsTerminal;

use unicode_width::UnicodeWidthChar;

/// Whether text may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Escape sequences are understood and wanted.
    On,
    /// Plain text only.
    Off,
}

impl Colour {
    /// Decides for standard error: a terminal, and neither `NO_COLOR` nor a dumb one.
    pub(crate) fn of_stderr() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stderr().is_terminal() && !refused && !dumb {
            Self::On
        } else {
            Self::Off
        }
    }

    /// Returns `text` in the colour of an SGR code.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) columns: usize,
    /// Rows.
    pub(crate) rows: usize,
}

impl Size {
    /// Asks the terminal on standard error; 80 by 24 when it does not say.
    pub(crate) fn of_stderr() -> Self {
        let said = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok();
        let said = said.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (columns, rows) = said
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .unwrap_or((80, 24));
        Self { columns, rows }
    }
}

/// Returns how many columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Returns the beginning of `text` that fits into `columns`, with `...` where something is missing.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (room, dots) = if columns > 3 {
        (columns - 3, "...")
    } else {
        (columns, "")
    };
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    kept.collect::<String>() + dots
}

/// Returns a line of a program's output as a terminal would show it: after the last carriage return, without escape
/// sequences and control characters, tabs as spaces.
pub(crate) fn visible(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line
        .trim_end_matches('\r')
        .rsplit('\r')
        .next()
        .unwrap_or_default();
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\\') {},
                _ => {}
            },
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abc...");
        assert_eq!(fit("構築構築", 7), "構築...");
        assert_eq!(fit("構築構築", 6), "構...");
        assert_eq!(fit("abc", 2), "ab");
        assert_eq!(width("構a"), 3);
    }

    #[test]
    fn output_cannot_steer_the_terminal() {
        assert_eq!(
            visible(b"\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07a\tb"),
            "red a    b"
        );
        assert_eq!(visible(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(visible(b"\x1b[2J\x1b"), "");
    }
}
