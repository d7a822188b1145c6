//! Instructions whose arguments are plain words: EXPOSE, MAINTAINER, STOPSIGNAL, USER, VOLUME, WORKDIR.

use super::Fault;
use super::at_least_one;
use super::parse_flags;
use super::texts;
use crate::ast::Node;
use crate::error::SyntaxError;

fn only_word(node: &Node, name: &str) -> Result<String, Fault> {
    match node.args.as_slice() {
        [word] => Ok(word.text.clone()),
        _ => Err(Fault::new(format!("{name} requires exactly one argument"))),
    }
}

pub(super) fn exactly_one(node: &Node, name: &str) -> Result<String, Fault> {
    let word = only_word(node, name)?;
    parse_flags(&[], &node.flags)?;
    Ok(word)
}

/// Reads STOPSIGNAL. Its flags are not looked at.
pub(super) fn stopsignal(node: &Node) -> Result<String, Fault> {
    only_word(node, "STOPSIGNAL")
}

pub(super) fn expose(node: &Node) -> Result<Vec<String>, Fault> {
    if node.args.is_empty() {
        return Err(at_least_one("EXPOSE"));
    }
    parse_flags(&[], &node.flags)?;
    let mut ports = texts(node);
    ports.sort();
    Ok(ports)
}

pub(super) fn volume(node: &Node) -> Result<Vec<String>, Fault> {
    if node.args.is_empty() {
        return Err(at_least_one("VOLUME"));
    }
    parse_flags(&[], &node.flags)?;
    let trimmed = |word: &crate::ast::Word| {
        let path = word.text.trim();
        if path.is_empty() {
            let error = SyntaxError::new("VOLUME specified can not be an empty string");
            return Err(Fault::at(error, word.span));
        }
        Ok(path.to_owned())
    };
    node.args.iter().map(trimmed).collect()
}
