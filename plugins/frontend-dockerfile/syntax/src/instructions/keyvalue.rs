//! ENV, LABEL and ARG.

use super::ArgCommand;
use super::ArgPair;
use super::Fault;
use super::KeyValue;
use super::at_least_one;
use super::comment_on;
use super::parse_flags;
use crate::ast::Node;
use crate::error::SyntaxError;

fn blank(name: &str) -> SyntaxError {
    SyntaxError::new(format!("{name} names can not be blank"))
}

/// Reads ENV or LABEL, whose words come in threes.
pub(super) fn pairs(node: &Node, name: &str) -> Result<Vec<KeyValue>, Fault> {
    parse_flags(&[], &node.flags)?;
    if node.args.is_empty() {
        return Err(at_least_one(name));
    }
    let mut out = Vec::new();
    for three in node.args.chunks(3) {
        let [key, value, separator] = three else {
            return Err(Fault::new(format!("Bad input to {name}, too many arguments")));
        };
        if key.text.is_empty() {
            return Err(Fault::at(blank(name), key.span));
        }
        let legacy = separator.text.is_empty();
        out.push(KeyValue {
            key: key.text.clone(),
            value: value.text.clone(),
            legacy,
        });
    }
    Ok(out)
}

/// Reads ARG. Its flags are not looked at.
pub(super) fn arg(node: &Node) -> Result<ArgCommand, Fault> {
    if node.args.is_empty() {
        return Err(at_least_one("ARG"));
    }
    let mut args = Vec::new();
    for word in &node.args {
        let (key, value) = match word.text.split_once('=') {
            Some(("", _)) => return Err(Fault::at(blank("ARG"), word.span)),
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word.text.as_str(), None),
        };
        args.push(ArgPair {
            key: key.to_owned(),
            value,
            comment: comment_on(node, key),
        });
    }
    Ok(ArgCommand { args })
}
