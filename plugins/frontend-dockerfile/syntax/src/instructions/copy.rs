//! ADD and COPY.

use super::AddCommand;
use super::CopyCommand;
use super::Fault;
use super::FlagKind;
use super::SourceContent;
use super::SourcesAndDest;
use super::parse_flags;
use crate::ast::Node;
use crate::error::SyntaxError;
use crate::heredoc;
use std::collections::HashMap;

/// How much the inline files of an instruction may hold. The same heredoc can be named often, so there has to be an end.
const MAX_INLINE: usize = 64 << 20;

pub(super) fn add(node: &Node) -> Result<AddCommand, Fault> {
    enough(node, "ADD")?;
    let defs = [
        ("chown", FlagKind::Text),
        ("chmod", FlagKind::Text),
        ("link", FlagKind::Bool),
        ("keep-git-dir", FlagKind::Bool),
        ("checksum", FlagKind::Text),
        ("unpack", FlagKind::Bool),
        ("exclude", FlagKind::List),
    ];
    let flags = parse_flags(&defs, &node.flags)?;
    Ok(AddCommand {
        sources: sources(node, "ADD")?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.is_on("link"),
        exclude: flags.list("exclude"),
        keep_git_dir: flags.switch("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.switch("unpack"),
    })
}

pub(super) fn copy(node: &Node) -> Result<CopyCommand, Fault> {
    enough(node, "COPY")?;
    let defs = [
        ("chown", FlagKind::Text),
        ("from", FlagKind::Text),
        ("chmod", FlagKind::Text),
        ("link", FlagKind::Bool),
        ("parents", FlagKind::Bool),
        ("exclude", FlagKind::List),
    ];
    let flags = parse_flags(&defs, &node.flags)?;
    Ok(CopyCommand {
        sources: sources(node, "COPY")?,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.is_on("link"),
        parents: flags.is_on("parents"),
        exclude: flags.list("exclude"),
    })
}

fn enough(node: &Node, name: &str) -> Result<(), Fault> {
    if node.args.len() >= 2 {
        return Ok(());
    }
    Err(Fault::new(format!(
        "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
    )))
}

/// Takes the last word as destination; words that open a heredoc are inline files.
fn sources(node: &Node, name: &str) -> Result<SourcesAndDest, Fault> {
    // In JSON form no heredoc has been read, but a word that looks like one is still taken for one.
    let opens = |word: &str| heredoc::parse(word).ok().flatten();
    let Some((dest, words)) = node.args.split_last() else {
        return Ok(SourcesAndDest::default());
    };
    if opens(&dest.text).is_some() {
        let error = SyntaxError::new(format!("{name} cannot accept a heredoc as a destination"));
        return Err(Fault::at(error, dest.span));
    }
    let read: HashMap<&str, &str> = node
        .heredocs
        .iter()
        .map(|h| (h.name.as_str(), h.content.as_str()))
        .collect();
    let mut out = SourcesAndDest {
        dest: dest.text.clone(),
        ..SourcesAndDest::default()
    };
    let mut size = 0;
    for word in words {
        let Some(opened) = opens(&word.text) else {
            out.paths.push(word.text.clone());
            continue;
        };
        let content = read.get(opened.name.as_str()).copied().unwrap_or_default();
        size += content.len();
        if size > MAX_INLINE {
            return Err(Fault::new(format!(
                "inline files of {name} are larger than {MAX_INLINE} bytes"
            )));
        }
        let data = if opened.chomp {
            heredoc::chomp(content)
        } else {
            content.to_owned()
        };
        out.contents.push(SourceContent {
            path: opened.name,
            data,
            expand: opened.expand,
        });
    }
    Ok(out)
}
