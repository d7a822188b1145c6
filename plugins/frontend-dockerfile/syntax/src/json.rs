//! As much of JSON as Dockerfiles need: arrays of strings, and one string of an object.

use std::ops::Range;

/// Arrays and objects may be nested this deep: far beyond use, and far from the end of the stack.
const MAX_DEPTH: usize = 200;

/// A JSON value, kept only if it is a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// The string.
    pub(crate) text: Option<String>,
    /// Where it stands, in bytes, quotes included.
    pub(crate) range: Range<usize>,
}

/// Reads an array. `None` when the text is not one whole JSON array.
pub(crate) fn array(text: &str) -> Option<Vec<Element>> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.space();
    let mut elements = Vec::new();
    reader.list(b'[', b']', |reader| {
        elements.push(reader.value()?);
        Some(())
    })?;
    reader.end()?;
    Some(elements)
}

/// Reads a string of an object. `None` when the text is not one whole JSON object or has no such string.
pub(crate) fn object_string(text: &str, key: &str) -> Option<String> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.space();
    let mut found = None;
    reader.list(b'{', b'}', |reader| {
        let (name, value) = reader.member()?;
        if name == key {
            found = value.text;
        }
        Some(())
    })?;
    reader.end()?;
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Option<()> {
        self.space();
        self.peek().is_none().then_some(())
    }

    /// Reads what stands between brackets, commas between the items.
    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        self.space();
        if self.eat(close).is_none() {
            loop {
                self.space();
                item(self)?;
                self.space();
                if self.eat(close).is_some() {
                    break;
                }
                self.eat(b',')?;
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn member(&mut self) -> Option<(String, Element)> {
        let name = self.string()?;
        self.space();
        self.eat(b':')?;
        self.space();
        Some((name, self.value()?))
    }

    fn value(&mut self) -> Option<Element> {
        let start = self.at;
        let mut text = None;
        match self.peek()? {
            b'"' => text = Some(self.string()?),
            b'[' => self.list(b'[', b']', |reader| reader.value().map(drop))?,
            b'{' => self.list(b'{', b'}', |reader| reader.member().map(drop))?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        Some(Element {
            text,
            range: start..self.at,
        })
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..]
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.eat(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ')?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(out);
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return None,
            }
        }
    }

    /// Reads what follows a backslash. Half of a surrogate pair becomes the replacement character.
    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let pair = self.text[self.at..].starts_with("\\u") && (0xd800..0xdc00).contains(&first);
                if pair {
                    let mark = self.at;
                    self.at += 2;
                    let second = self.hex()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return char::from_u32(code);
                    }
                    self.at = mark;
                }
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}
