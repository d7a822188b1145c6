//! Modes as `chmod` writes them: octal, or `u=rwX,go=rX`.

use std::str::FromStr;

use super::OpError;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const EXECUTE: u32 = 0o111;

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// These bits (`0o7777`).
    Octal(u32),
    /// Changes to the bits that are there, one after the other.
    Symbolic(Vec<Clause>),
}

/// One change of a symbolic mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clause {
    /// The bits that may change; all but the sticky bit when nobody is named.
    who: u32,
    op: u8,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// These bits, and execution for what is executable already or a directory.
    Bits { bits: u32, execute: u32 },
    /// The bits that a class has; how far they are from the right.
    Copy(u32),
}

impl Chmod {
    /// Returns the mode of a file or directory with `mode` after the change.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(bits) => bits & 0o7777,
            Self::Symbolic(clauses) => {
                let executable = is_directory || mode & EXECUTE != 0;
                clauses
                    .iter()
                    .fold(mode & 0o7777, |mode, clause| clause.apply(mode, executable))
            }
        }
    }

    /// Returns the mode of a directory that is made on the way to the destination: only an octal change counts.
    pub(super) fn for_parents(&self) -> u32 {
        match self {
            Self::Octal(bits) => bits & 0o777,
            Self::Symbolic(_) => 0o755,
        }
    }
}

impl Clause {
    fn apply(self, mode: u32, executable: bool) -> u32 {
        let (bits, cleared) = match self.what {
            What::Bits { bits, execute } => {
                let bits = if executable { bits | execute } else { bits };
                (bits & self.who, self.who)
            }
            What::Copy(shift) => {
                let class = (mode >> shift) & 0o7;
                ((class << 6 | class << 3 | class) & self.who, self.who & 0o777)
            }
        };
        match self.op {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => mode & !cleared | bits,
        }
    }
}

impl FromStr for Chmod {
    type Err = OpError;

    /// Reads an octal or a symbolic mode.
    fn from_str(text: &str) -> Result<Self, OpError> {
        let wrong = || OpError::Mode {
            mode: text.to_owned(),
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
            return bits.map(Self::Octal).ok_or_else(wrong);
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            clauses.extend(read_clauses(clause.as_bytes()).ok_or_else(wrong)?);
        }
        Ok(Self::Symbolic(clauses))
    }
}

/// Reads `[ugoa]*` and one or more `[-+=]` with permissions.
fn read_clauses(text: &[u8]) -> Option<Vec<Clause>> {
    let end = text.iter().position(|b| !b"ugoa".contains(b))?;
    let who = text[..end].iter().fold(0, |who, class| who | class_bits(*class));
    let mut clauses = Vec::new();
    let mut rest = &text[end..];
    while let Some((op, after)) = rest.split_first() {
        if !b"+-=".contains(op) {
            return None;
        }
        let end = after
            .iter()
            .position(|b| b"+-=".contains(b))
            .unwrap_or(after.len());
        read_permissions(who, *op, &after[..end], &mut clauses)?;
        rest = &after[end..];
    }
    Some(clauses)
}

fn class_bits(class: u8) -> u32 {
    match class {
        b'u' => SETUID | 0o700,
        b'g' => SETGID | 0o070,
        b'o' => 0o007,
        _ => SETUID | SETGID | 0o777,
    }
}

fn read_permissions(who: u32, op: u8, permissions: &[u8], clauses: &mut Vec<Clause>) -> Option<()> {
    let mut reach = if who == 0 { SETUID | SETGID | 0o777 } else { who };
    let (mut bits, mut execute) = (0, 0);
    let mut copies = Vec::new();
    for permission in permissions {
        match permission {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'x' => bits |= EXECUTE,
            b'X' if op == b'-' => {}
            b'X' => execute = EXECUTE,
            b's' => bits |= SETUID | SETGID,
            b't' if who == 0 || who & !0o007 != 0 => {
                reach |= STICKY;
                bits |= STICKY;
            }
            b't' => {}
            b'u' => copies.push(What::Copy(6)),
            b'g' => copies.push(What::Copy(3)),
            b'o' => copies.push(What::Copy(0)),
            _ => return None,
        }
    }
    if copies.is_empty() || bits | execute != 0 {
        clauses.push(Clause {
            who: reach,
            op,
            what: What::Bits { bits, execute },
        });
    }
    clauses.extend(copies.into_iter().map(|what| Clause { who: reach, op, what }));
    Some(())
}
