//! Random and mutated files: nothing panics or runs away, and places point at what they say.

use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::ast::Word;
use kiln_dockerfile_syntax::directives;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::parse;
use kiln_dockerfile_syntax::shell::Lex;
use std::fmt::Write;

/// A small generator with a seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a>(&mut self, parts: &[&'a str]) -> &'a str {
        parts[self.below(parts.len())]
    }
}

/// The seed of a run: `KILN_SEED`, or one that is always the same.
fn seed() -> u64 {
    let given = std::env::var("KILN_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(20_261_123)
}

const PARTS: [&str; 60] = [
    "FROM a\n",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "EXPOSE ",
    "VOLUME ",
    "SHELL ",
    "USER ",
    "STOPSIGNAL ",
    "WORKDIR ",
    "MAINTAINER ",
    "\n",
    "\n",
    "\n",
    " ",
    " ",
    "\t",
    "\\\n",
    "`\n",
    "\\",
    "#",
    "# escape=`\n",
    "# syntax=x\n",
    "# check=skip=all\n",
    "a",
    "b=c",
    "=",
    "\"",
    "'",
    "$a",
    "${a",
    "}",
    ":-",
    "/",
    "<<E",
    "<<-",
    "\nE\n",
    "[",
    "]",
    "\"a\",",
    "--from=",
    "--mount=",
    "type=cache,",
    "--link",
    "--chmod=",
    "ß",
    "\u{2028}",
    "\u{feff}",
    "\r",
    "\0",
    "1-2/tcp",
    "CMD",
    "NONE",
    "--interval=1s ",
];

fn random_file(random: &mut Random) -> Vec<u8> {
    let mut file: Vec<u8> = Vec::new();
    for _ in 0..random.below(40) {
        file.extend(random.pick(&PARTS).as_bytes());
    }
    for _ in 0..random.below(3) {
        if !file.is_empty() {
            let at = random.below(file.len());
            file[at] = random.below(256) as u8;
        }
    }
    file
}

/// Does all that can be done with a file; tells whether it was understood.
fn use_all(file: &[u8]) -> bool {
    let _ = directives::detect_syntax(file);
    let _ = directives::find_directive("check", file);
    let Ok(ast) = parse(file) else { return false };
    let _ = ast.dump();
    for node in &ast.nodes {
        let _ = instructions::parse_node(node);
        check_words(file, node);
    }
    let Ok(mut dockerfile) = instructions::parse(&ast) else {
        return false;
    };
    let lex = Lex::new(ast.escape);
    let env = |name: &str| (name == "a").then(|| "x y'z".to_owned());
    for command in dockerfile.stages.iter_mut().flat_map(|stage| &mut stage.commands) {
        let _ = command.expand(&mut |word| lex.process_word(word, &env));
        let _ = command.expand_contents(&mut |word| Lex::for_heredoc().process_word(word, &env));
    }
    true
}

/// Words that are written in one piece stand where their span says.
fn check_words(file: &[u8], node: &Node) {
    let Ok(text) = std::str::from_utf8(file) else {
        return;
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let plain =
        |word: &&Word| !node.json && !word.text.is_empty() && word.span.start.line == word.span.end.line;
    for word in node.args.iter().filter(plain) {
        let at = lines[word.span.start.line - 1].get(word.span.start.column..word.span.end.column);
        // An escape at the end of a word is dropped.
        let found = at.is_some_and(|found| {
            found.trim_end_matches(['\\', '`']) == word.text.trim_end_matches(['\\', '`'])
        });
        assert!(
            found || word.text.contains(['"', '\'']),
            "{word:?} is not at its place in {text:?}: {at:?}"
        );
    }
    for flag in node.flags.iter().filter(plain) {
        let at = lines[flag.span.start.line - 1].get(flag.span.start.column..flag.span.end.column);
        let found = at.is_some_and(|at| at == flag.text || at.contains(['\\', '"', '\'']));
        assert!(found, "{flag:?} is not at its place in {text:?}: {at:?}");
    }
    let (first, last) = node.lines();
    assert!(
        1 <= first && first <= last && last <= lines.len(),
        "{:?} in {text:?}",
        node.span
    );
}

#[test]
fn random_files() {
    let seed = seed();
    let mut random = Random(seed);
    let mut understood = 0;
    for round in 0..30_000 {
        let file = random_file(&mut random);
        let result = std::panic::catch_unwind(|| use_all(&file));
        let ok = result
            .unwrap_or_else(|_| panic!("seed {seed}, round {round}: {:?}", String::from_utf8_lossy(&file)));
        understood += usize::from(ok);
    }
    assert!(understood > 100, "only {understood} files were understood");
}

#[test]
fn random_words() {
    let seed = seed();
    let mut random = Random(seed);
    let parts = [
        "$", "{", "}", "a", "b", ":", "-", "+", "?", "#", "%", "/", "*", "\\", "'", "\"", " ", "<", "é",
    ];
    let env = |name: &str| (name == "a").then(|| "abcabc".to_owned());
    for _ in 0..100_000 {
        let word: String = (0..random.below(14)).map(|_| random.pick(&parts)).collect();
        let lexes = [
            Lex::new('\\'),
            Lex {
                skip_unset: true,
                ..Lex::new('`')
            },
            Lex::for_heredoc(),
        ];
        for lex in lexes {
            let _ = lex.process(&word, &env);
        }
    }
}

/// Inputs that make a careless reader recurse, copy or search without end.
#[test]
fn hostile_files() {
    let deep = "${a:-".repeat(20_000);
    let mut nested = format!("FROM a\nUSER {}", &deep[..60_000]);
    assert!(use_all(nested.as_bytes()));
    nested = format!("FROM a\n{}RUN x", "ONBUILD \\\n".repeat(20_000));
    assert!(!use_all(nested.as_bytes()));
    nested = format!("FROM a\nCMD {}", "[".repeat(60_000));
    assert!(use_all(nested.as_bytes()));
    let mut heredocs = String::from("FROM a\nCOPY ");
    (0..5_000).for_each(|_| heredocs.push_str("<<a "));
    heredocs.push_str("/x\n");
    (0..4_999).for_each(|_| heredocs.push_str("a\n"));
    writeln!(heredocs, "{}\na", "content\n".repeat(5_000)).expect("a string takes all");
    assert!(!use_all(heredocs.as_bytes()));
}

#[test]
fn doubling_variables_end() {
    let mut value = "x".to_owned();
    let lex = Lex::new('\\');
    let mut rounds = 0;
    while let Ok(next) = lex.process_word("$a$a$a$a", &|_: &str| Some(value.clone())) {
        value = next;
        rounds += 1;
        assert!(rounds < 20, "it never ends");
    }
    let long = "ab".repeat(1 << 20);
    let word = format!("${{a//{}c/x}}", "*a*b".repeat(100));
    assert!(lex.process_word(&word, &|_: &str| Some(long.clone())).is_err());
}
