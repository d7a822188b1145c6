//! Dockerfile syntax: cuts a file into instructions ([`parse`]), understands them ([`instructions::parse`]) and
//! expands variables ([`shell::Lex`]). Error texts are BuildKit's.
//!
//! It reads bytes and returns values: no file, no network, no clock. Any input ends in a value or an error, without
//! panic, in time and memory bounded by the input. That, and places of every word, make it fit for editors:
//!
//! ```
//! use kiln_dockerfile_syntax::instructions;
//! use kiln_dockerfile_syntax::parse;
//! use kiln_dockerfile_syntax::shell::Lex;
//! use kiln_dockerfile_syntax::span::Span;
//!
//! /// Everything that can be said of a file without building it: places (lines from 1, bytes of the line from 0) and
//! /// texts. Each instruction is read by itself, so that one that is wrong hides no other.
//! fn diagnostics(file: &str) -> Vec<(Span, String)> {
//!     let ast = match parse(file.as_bytes()) {
//!         Ok(ast) => ast,
//!         Err(error) => return vec![(error.span, error.message)],
//!     };
//!     let mut found: Vec<_> = ast
//!         .warnings
//!         .iter()
//!         .map(|warning| (Span::lines(warning.line, warning.line), warning.short.clone()))
//!         .collect();
//!     let lex = Lex::new(ast.escape);
//!     for node in &ast.nodes {
//!         match instructions::parse_node(node) {
//!             Err(error) => found.push((error.span, error.message)),
//!             Ok(instructions::Parsed::Stage(_)) => {}
//!             Ok(instructions::Parsed::Command(mut command)) => {
//!                 // Variables are not known yet; what is left open is left as it is.
//!                 let mut wrong = None;
//!                 let _ = command.expand(&mut |word| {
//!                     lex.process(word, &|_: &str| Some(String::new())).map(|done| done.text).map_err(|error| {
//!                         wrong = node.place(word, error.at).map(|place| (place, error.error.to_string()));
//!                         error.error
//!                     })
//!                 });
//!                 found.extend(wrong);
//!             }
//!         }
//!     }
//!     found
//! }
//!
//! let file = "FROM alpine\nCOYP a b\nENV path=/a:${PATH\nRUN --netwrok=none \\\n  make\n";
//! let shown: Vec<String> = diagnostics(file)
//!     .iter()
//!     .map(|(span, text)| format!("{}:{}: {text}", span.start.line, span.start.column + 1))
//!     .collect();
//! assert_eq!(shown[0], "2:1: unknown instruction: COYP (did you mean COPY?)");
//! assert!(shown[1].starts_with("3:13: failed to process"), "{shown:?}");
//! assert_eq!(shown[2], "4:5: unknown flag: --netwrok (did you mean network?)");
//!
//! // Words have places, too: what is under the cursor.
//! let ast = parse(b"FROM alpine AS build\n").expect("it can be cut");
//! let word = &ast.nodes[0].args[2];
//! assert_eq!((word.text.as_str(), word.span.start.column, word.span.end.column), ("build", 15, 20));
//! ```

mod args;
pub mod ast;
pub mod checks;
pub mod chmod;
mod csv;
pub mod directives;
pub mod duration;
pub mod error;
pub mod go;
pub mod heredoc;
pub mod instructions;
mod json;
mod lines;
mod parser;
pub mod ports;
pub mod shell;
pub mod signal;
pub mod span;
pub mod suggest;
pub mod units;

pub use error::ParseError;
pub use error::SyntaxError;
pub use lines::MAX_LINE;
pub use parser::parse;
