//! Dockerfile syntax: cut, understood, expanded.

use kiln_dockerfile_syntax::SyntaxError;
use kiln_dockerfile_syntax::ast::Ast;
use kiln_dockerfile_syntax::checks;
use kiln_dockerfile_syntax::directives;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::parse;
use kiln_dockerfile_syntax::ports;
use kiln_dockerfile_syntax::shell::Lex;

use crate::engine::Target;
use crate::engine::shape;
use crate::targets::DOCKERFILE_TOKENS;
use crate::targets::shared_dockerfiles;

pub(crate) fn target() -> Target {
    Target {
        name: "dockerfile",
        run,
        tokens: DOCKERFILE_TOKENS,
        seeds: shared_dockerfiles(),
    }
}

fn run(file: &[u8]) -> String {
    let _ = directives::detect_syntax(file);
    if let Some(check) = directives::find_directive("check", file) {
        let _ = checks::parse(&check.value);
    }
    let ast = match parse(file) {
        Ok(ast) => ast,
        Err(error) => return shape(&error.to_string()),
    };
    check_places(file, &ast);
    let _ = ast.dump();
    let mut dockerfile = match instructions::parse(&ast) {
        Ok(dockerfile) => dockerfile,
        Err(error) => return shape(&error.to_string()),
    };
    let lex = Lex::new(ast.escape);
    let env = |name: &str| (name == "a").then(|| "x y'z".to_owned());
    let mut outcome = Vec::new();
    let stages = dockerfile.stages.iter_mut().map(|stage| &mut stage.commands);
    for command in stages.chain([&mut dockerfile.meta_args]).flatten() {
        let expanded = command
            .expand(&mut |word| lex.process_word(word, &env))
            .map_err(SyntaxError::from);
        let contents = command.expand_contents(&mut |word| Lex::for_heredoc().process_word(word, &env));
        outcome.push(command.name().to_owned());
        for result in [expanded, contents] {
            outcome.extend(result.err().map(|error| shape(error.message())));
        }
        if let instructions::Instruction::Expose(words) = &command.instruction {
            let _ = ports::parse(words);
        }
    }
    outcome.sort();
    outcome.dedup();
    outcome.truncate(6);
    outcome.join(" ")
}

/// Instructions are in order and inside the file.
fn check_places(file: &[u8], ast: &Ast) {
    let lines = file.split(|&byte| byte == b'\n').count();
    let mut before = 0;
    for node in &ast.nodes {
        let (first, last) = node.lines();
        assert!(
            before < first && first <= last && last <= lines,
            "lines {first} to {last} of {lines}"
        );
        before = last;
    }
}
