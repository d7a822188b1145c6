//! FROM and ONBUILD.

use super::Fault;
use super::FlagKind;
use super::OnbuildCommand;
use super::Stage;
use super::at_least_one;
use super::comment_on;
use super::parse_flags;
use crate::ast::Node;
use crate::ast::Word;
use crate::error::SyntaxError;
use crate::go;

/// Reads FROM.
pub(super) fn from(node: &Node) -> Result<Stage, Fault> {
    let (base, name) = match node.args.as_slice() {
        [base] => (base, None),
        [base, middle, name] if middle.text.eq_ignore_ascii_case("as") => (base, Some(stage_name(name)?)),
        _ => return Err(Fault::new("FROM requires either one or three arguments")),
    };
    let flags = parse_flags(&[("platform", FlagKind::Text)], &node.flags)?;
    Ok(Stage {
        comment: name
            .as_deref()
            .map(|name| comment_on(node, name))
            .unwrap_or_default(),
        name,
        base_name: base.text.clone(),
        platform: flags.text("platform"),
        commands: Vec::new(),
        node: node.clone(),
    })
}

fn stage_name(word: &Word) -> Result<String, Fault> {
    let name = word.text.to_lowercase();
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if valid {
        return Ok(name);
    }
    let quoted = go::quote(&word.text);
    let text =
        format!("invalid name for build stage: {quoted}, name can't start with a number or contain symbols");
    Err(Fault::at(SyntaxError::new(text), word.span))
}

/// Reads ONBUILD: the inner instruction is kept as text.
pub(super) fn onbuild(node: &Node) -> Result<OnbuildCommand, Fault> {
    let Some(sub) = &node.sub else {
        return Err(at_least_one("ONBUILD"));
    };
    parse_flags(&[], &node.flags)?;
    let trigger = sub.name.text.to_ascii_uppercase();
    let text = match trigger.as_str() {
        "ONBUILD" => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
        "MAINTAINER" | "FROM" => format!("{trigger} isn't allowed as an ONBUILD trigger"),
        _ => {
            let text = node.original.trim_start();
            let mut expression = text[node.name.text.len()..].trim_start().to_owned();
            for heredoc in &node.heredocs {
                expression.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
            }
            return Ok(OnbuildCommand { expression });
        }
    };
    Err(Fault::at(SyntaxError::new(text), sub.name.span))
}
