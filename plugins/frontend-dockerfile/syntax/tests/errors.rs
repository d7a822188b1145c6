//! Error texts, word for word, with the line BuildKit names and the word that is marked.

use kiln_dockerfile_syntax::ParseError;
use kiln_dockerfile_syntax::SyntaxError;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::parse;

fn understand(file: &str) -> Result<Vec<Command>, ParseError> {
    let file = instructions::parse(&parse(file.as_bytes())?)?;
    Ok(file.stages.into_iter().flat_map(|stage| stage.commands).collect())
}

/// Checks the text of the error of an instruction in the second line.
#[track_caller]
fn check(instruction: &str, expect: &str) {
    let got = understand(&format!("FROM scratch\n{instruction}"))
        .expect_err("no error")
        .to_string();
    assert_eq!(
        got,
        format!("dockerfile parse error on line 2: {expect}"),
        "{instruction}"
    );
}

#[test]
fn names_and_stages() {
    check("COYP a b", "unknown instruction: COYP (did you mean COPY?)");
    check("BADCMD", "unknown instruction: BADCMD");
    check("FROM a b", "FROM requires either one or three arguments");
    check(
        "FROM a AS 1x",
        "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
    );
    check(
        "ONBUILD ONBUILD RUN x",
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    );
    check(
        "ONBUILD maintainer x",
        "MAINTAINER isn't allowed as an ONBUILD trigger",
    );
    let got = understand("RUN x").expect_err("no error");
    assert_eq!(got.to_string(), "no build stage in current context");
    assert_eq!(got.lines, (1, 1));
}

#[test]
fn flags() {
    check("COPY --frm=a b c", "unknown flag: --frm (did you mean from?)");
    check("MAINTAINER --boo x", "unknown flag: --boo");
    check("COPY --from=a --from=b c d", "duplicate flag specified: --from");
    check("COPY --from a b", "missing a value on flag: --from");
    check("COPY --link= a b", "missing a value on flag: --link");
    check(
        "COPY --link=maybe a b",
        "expecting boolean value for flag --link, not: maybe",
    );
    check(
        "RUN --network=some x",
        "invalid network mode \"some\" (did you mean none?)",
    );
    check("RUN --security=some x", "security \"some\" is not valid");
    check(
        "HEALTHCHECK --interval=5 CMD x",
        "time: missing unit in duration \"5\"",
    );
    check(
        "HEALTHCHECK --timeout=1us CMD x",
        "Interval \"timeout\" cannot be less than 1ms",
    );
    check(
        "HEALTHCHECK --retries=-1 CMD x",
        "--retries cannot be negative (-1)",
    );
    check(
        "HEALTHCHECK --retries=x CMD x",
        "strconv.ParseInt: parsing \"x\": invalid syntax",
    );
}

#[test]
fn arguments() {
    check("SHELL sh -c", "SHELL requires the arguments to be in JSON form");
    check("SHELL []", "SHELL requires at least one argument");
    check("VOLUME [\" \"]", "VOLUME specified can not be an empty string");
    check("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
    check("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    check(
        "HEALTHCHECK try x",
        "Unknown type \"TRY\" in HEALTHCHECK (try CMD)",
    );
    check("ARG =x", "ARG names can not be blank");
    check(
        "ADD <<a <<b\na\nb",
        "ADD cannot accept a heredoc as a destination",
    );
}

#[test]
fn lines() {
    let check = |file: &str, expect: &str, lines: (usize, usize)| {
        let got = parse(file.as_bytes()).expect_err("no error");
        assert_eq!((got.to_string().as_str(), got.lines), (expect, lines), "{file:?}");
    };
    check("", "file with no instructions", (0, 0));
    check("# a\n\n", "file with no instructions", (2, 2));
    check("FROM x\nRUN <<E\na", "unterminated heredoc", (2, 3));
    check(
        "# escape=x\nFROM x",
        "invalid escape token 'x' does not match ` or \\",
        (1, 1),
    );
    check(
        "# escape=`\n# escape=`\nFROM x",
        "only one escape parser directive can be used",
        (2, 2),
    );
    check("FROM x\nENV \\\n a", "ENV must have two arguments", (2, 3));
    let no_equals = "Syntax error - can't find = in \"b\". Must be of the form: name=value";
    check("ENV a=b b", no_equals, (1, 1));
    let strings = "when using JSON array syntax, arrays must be comprised of strings only";
    check("FROM x\nCMD [1]", strings, (2, 2));
}

/// Checks the error of a `--mount` once its variables are known.
#[test]
fn mounts() {
    let read = |mount: &str| -> Result<Command, SyntaxError> {
        let file = format!("FROM scratch\nRUN --mount={mount} x");
        let mut commands = understand(&file).map_err(|e| SyntaxError::new(e.message))?;
        let mut command = commands.remove(0);
        command.expand(&mut |word| Ok(word.replace("$kind", "secret")))?;
        Ok(command)
    };
    let check = |mount: &str, expect: &str| {
        let got = read(mount).err().map(|e| e.message().to_owned());
        assert_eq!(got.as_deref(), Some(expect), "{mount}");
    };
    check(
        "from=$a",
        "'from' doesn't support variable expansion, define alias stage instead",
    );
    check(
        "type=cahce",
        "unsupported mount type \"cahce\" (did you mean cache?)",
    );
    check(
        "type=$kind",
        "invalid secret mount. one of source, target required",
    );
    check("type=secret,id=a,source=b", "both source and id can't be set");
    check("type=secret,id=a,from=b", "secret mount should not have a from");
    check(
        "type=secret,id=a,sharing=locked",
        "secret mount should not define sharing",
    );
    check(
        "target=/a,sharing=locked",
        "invalid cache sharing set for bind mount",
    );
    check("type=cache,sharing=x", "unsupported sharing value \"x\"");
    check("target=/a,mode=0600", "mode not allowed for \"bind\" type mounts");
    check("type=tmpfs,uid=1", "uid not allowed for \"tmpfs\" type mounts");
    check("type=cache,mode=9", "invalid value 9 for mode");
    check(
        "type=cache,size=1m",
        "unexpected key 'size' for mount type 'cache'",
    );
    check("type=tmpfs,size=big", "invalid value for size: big");
    check(
        "type=cache,required",
        "unexpected key 'required' for mount type 'cache'",
    );
    check(
        "targt=/a",
        "unexpected key 'targt' in 'targt=/a' (did you mean target?)",
    );
    check("target", "invalid field 'target' must be a key=value pair");
    check("ro=maybe", "invalid value for ro: maybe");
    let Instruction::Run(run) = read("type=$kind,id=a,required,mode=0440,env=X")
        .expect("it fits")
        .instruction
    else {
        panic!("no RUN")
    };
    let mount = &run.mounts[0];
    assert_eq!(
        (mount.kind.name(), mount.readonly, mount.required),
        ("secret", true, true)
    );
    assert_eq!(
        (mount.id.as_deref(), mount.mode, mount.env.as_deref()),
        (Some("a"), Some(0o440), Some("X"))
    );
    assert_eq!(run.flags_used, ["mount"]);
}

#[test]
fn expansion() {
    let lex = kiln_dockerfile_syntax::shell::Lex::new('\\');
    let check = |word: &str, expect: &str| {
        let env = vec![
            ("empty".to_owned(), String::new()),
            ("a".to_owned(), "v".to_owned()),
        ];
        let got = lex.process_word(word, &env).expect_err("no error");
        assert_eq!(got.message(), format!("failed to process \"{word}\": {expect}"));
    };
    check("${x?}", "x: is not allowed to be unset");
    check("${empty:?}", "empty: is not allowed to be empty");
    check("${x:?why $a}", "x: why v");
    check("${}", "syntax error: bad substitution");
    check("${a", "unsupported modifier (\u{fffd}) in substitution");
    check("${a:-b", "syntax error: missing '}'");
    check("${a/b}", "syntax error: missing '/' in ${}");
    check("${a:#b}", "unsupported modifier (:#) in substitution");
    check("${a=b}", "unsupported modifier (=) in substitution");
    check(
        "'a",
        "unexpected end of statement while looking for matching single-quote",
    );
}

#[test]
fn triggers() {
    let command = instructions::parse_trigger("COPY --from=a <<E /x\nb\nE").expect("it parses");
    assert!(matches!(command.instruction, Instruction::Copy(_)));
    let got = instructions::parse_trigger("RUN a\nRUN b").expect_err("no error");
    assert_eq!(got.to_string(), "onbuild trigger should be a single expression");
    let commands = understand("FROM a\nonbuild  RUN <<E\nb\nE").expect("it parses");
    let Instruction::Onbuild(onbuild) = &commands[0].instruction else {
        panic!("no ONBUILD")
    };
    assert_eq!(onbuild.expression, "RUN <<E\nb\nE");
}

/// Comments belong to the instruction they immediately precede; `#` alone and empty lines part them.
#[test]
fn comments() {
    let check = |file: &str, expect: &[&str]| {
        let ast = parse(file.as_bytes()).expect("it parses");
        assert_eq!(ast.nodes[0].comments, expect, "{file:?}");
    };
    check("# a\n  # b\nFROM x", &["a", "b"]);
    check("# a\n\n# b\nFROM x", &["b"]);
    check("# a\n#\nFROM x", &[]);
    check("# a\n\nFROM x", &[]);
    check("# syntax=y\n# a\nFROM x", &["a"]);
    check("FROM x \\\n# inside\n AS y", &[]);
}
