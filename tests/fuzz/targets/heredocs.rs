//! Heredocs: what is read as content stands in the file, line by line, and places in it point there.

use kiln_dockerfile_syntax::ast::Heredoc;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::heredoc;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::parse;
use kiln_dockerfile_syntax::shell::Lex;

use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    Target {
        name: "heredocs",
        run,
        tokens: &[
            b"<<E",
            b"<<-E",
            b"<<'E'",
            b"<<\"E\"",
            b"3<<E",
            b"<< E",
            b"<<-  E",
            b"<<F",
            b"<<",
            b"<<<",
            b"\nE\n",
            b"\nF\n",
            b"\n\tE\n",
            b"E",
            b"\n",
            b"\r\n",
            b"\t",
            b" /\n",
            b"COPY ",
            b"ADD ",
            b"RUN ",
            b"ONBUILD ",
            b"[\"<<E\", \"/\"]",
            b"#!/bin/sh\n",
            b"\\\n",
            b"$a",
            b"${b:?c}",
            b"'",
            b"\"",
            b"\xff",
        ],
        seeds: Vec::new(),
    }
}

fn run(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    ["COPY", "RUN", "ONBUILD ADD"]
        .map(|name| outcome(&format!("FROM a\n{name} {text}")))
        .join("|")
}

fn outcome(file: &str) -> String {
    let ast = match parse(file.as_bytes()) {
        Ok(ast) => ast,
        Err(error) => return shape(&error.message),
    };
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    let mut count = 0;
    for node in &ast.nodes {
        for heredoc in &node.heredocs {
            check(heredoc, node, &lines);
            count += 1;
        }
    }
    match instructions::parse(&ast) {
        Ok(mut file) => {
            let commands = file.stages.iter_mut().flat_map(|stage| &mut stage.commands);
            commands.for_each(expand);
            format!("ok {}", count.min(4))
        }
        Err(error) => shape(&error.message),
    }
}

/// The content is the lines of the place but the last, which ends it.
fn check(heredoc: &Heredoc, node: &Node, lines: &[&str]) {
    let (first, last) = heredoc.span.line_range();
    assert!(
        first > node.lines().0 && last <= node.lines().1,
        "{heredoc:?} is outside of {:?}",
        node.span
    );
    let written = lines[first - 1..last - 1].concat();
    assert_eq!(heredoc.content, written, "lines {first} to {last}");
    let end = lines[last - 1].trim_end_matches(['\r', '\n']);
    let end = if heredoc.chomp {
        end.trim_start_matches('\t')
    } else {
        end
    };
    assert_eq!(end, heredoc.name);
    let chomped = heredoc::chomp(&heredoc.content);
    assert_eq!(heredoc::chomp(&chomped), chomped);
}

/// What cannot be expanded has a place in the instruction.
fn expand(command: &mut instructions::Command) {
    let node = command.node.clone();
    let env = |name: &str| (name == "a").then(|| "x".to_owned());
    let (lex, mut wrong) = (Lex::for_heredoc(), None);
    let _ = command.expand_contents(&mut |text| {
        lex.process(text, &env).map(|done| done.text).map_err(|error| {
            wrong = Some((text.to_owned(), error.at));
            error.error
        })
    });
    let Some((text, at)) = wrong else { return };
    assert!(
        !matches!(command.instruction, Instruction::Run(_)),
        "RUN was expanded"
    );
    let span = node.place(&text, at).expect("the content is the node's");
    let (first, last) = node.lines();
    assert!(
        first < span.start.line && span.start.line <= last,
        "{span:?} is outside of lines {first} to {last}"
    );
    assert!(span.start.column <= span.end.column, "{span:?}");
}
