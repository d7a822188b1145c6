use crate::support::Report;
use crate::support::rows;
use crate::support::strings;
use crate::support::table;
use crate::support::text;
use kiln_dockerfile_syntax::ast::Word;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::instructions::FlagKind;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::instructions::NAMES;
use kiln_dockerfile_syntax::instructions::parse_device;
use kiln_dockerfile_syntax::instructions::parse_flags;
use kiln_dockerfile_syntax::parse;
use serde_json::Value;
use serde_json::json;

fn tables() -> Value {
    table("instructions/instructions_tables.json")
}

/// Reads one instruction of a stage, without the stage.
fn one(line: &str) -> Result<Instruction, String> {
    let ast = parse(line.as_bytes()).map_err(|e| e.to_string())?;
    match instructions::parse_node(&ast.nodes[0]).map_err(|e| e.to_string())? {
        instructions::Parsed::Command(command) => Ok(command.instruction),
        instructions::Parsed::Stage(stage) => Err(format!("a stage: {stage:?}")),
    }
}

fn check_error(report: &mut Report, line: &str, error: &str) {
    let got = one(line).expect_err("no error");
    report.holds(line, got.contains(error), &got);
}

#[test]
fn argument_errors() {
    let tables = tables();
    let mut report = Report::default();
    for key in [
        "exactly_one_argument",
        "at_least_one_argument",
        "no_destination",
        "blank_names",
    ] {
        let case = &tables[key];
        let default = format!("{key} <CMD>");
        for name in strings(&case["commands"]) {
            let input = case["input"].as_str().unwrap_or(if key.ends_with("argument") {
                "<CMD>"
            } else {
                &default
            });
            check_error(
                &mut report,
                &input.replace("<CMD>", &name),
                &text(case, "error").replace("<CMD>", &name),
            );
        }
    }
    for row in rows(&tables, "errors") {
        check_error(&mut report, text(row, "dockerfile"), text(row, "expectedError"));
    }
    report.done(4 + 6 + 2 + 2 + 7);
}

/// The table's rows hand over words that no file can contain; the error is checked on such a node.
#[test]
fn too_many_words() {
    let tables = tables();
    let mut report = Report::default();
    for name in strings(&tables["too_many"]["commands"]) {
        let mut ast = parse(format!("{name} a=b").as_bytes()).expect("it parses");
        ast.nodes[0].args.push(Word {
            text: "c".into(),
            ..Word::default()
        });
        let got = instructions::parse_node(&ast.nodes[0])
            .expect_err("no error")
            .to_string();
        let expect = text(&tables["too_many"], "error").replace("<CMD>", &name);
        report.holds(&name, got.contains(&expect), &got);
    }
    report.done(2);
}

#[test]
fn heredocs_of_copy_and_run() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables, "copy_heredoc") {
        let line = text(row, "dockerfile");
        let Ok(Instruction::Copy(copy)) = one(line) else {
            panic!("{line}")
        };
        let mut got = json!({"DestPath": copy.sources.dest});
        if !copy.sources.paths.is_empty() {
            got["SourcePaths"] = json!(copy.sources.paths);
        }
        let contents = copy.sources.contents.iter();
        let contents: Vec<Value> = contents
            .map(|c| json!({"Path": c.path, "Data": c.data, "Expand": c.expand}))
            .collect();
        if !contents.is_empty() {
            got["SourceContents"] = json!(contents);
        }
        report.equal(line, &got, &row["sourcesAndDest"]);
    }
    for row in rows(&tables, "run_heredoc") {
        let line = text(row, "dockerfile");
        let Ok(Instruction::Run(run)) = one(line) else {
            panic!("{line}")
        };
        let files = run.command.files.iter().map(|file| {
            let mut value = json!({"Name": file.name, "Data": file.data});
            if file.chomp {
                value["Chomp"] = json!(true);
            }
            value
        });
        let files: Vec<Value> = files.collect();
        let got = (run.command.args, run.command.shell_form, json!(files));
        let expect_files = row.get("files").cloned().unwrap_or(json!([]));
        let expect = (strings(&row["command"]), row["shell"] == true, expect_files);
        report.equal(line, &got, &expect);
    }
    report.done(8 + 6);
}

#[test]
fn devices_and_health() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables, "parse_device") {
        let input = text(row, "input");
        let got = match parse_device(input) {
            Ok(device) => (
                json!({"Name": device.name, "Required": device.required}),
                Value::Null,
            ),
            Err(error) => (Value::Null, json!(error.message())),
        };
        report.equal(
            input,
            &got,
            &(row["expected"].clone(), row["expectedErr"].clone()),
        );
    }
    let health = &tables["healthcheck"];
    let Ok(Instruction::Healthcheck(got)) =
        one(&format!("HEALTHCHECK {}", strings(&health["args"]).join(" ")))
    else {
        panic!("HEALTHCHECK is refused")
    };
    report.equal("healthcheck", &got.test, &strings(&health["test"]));
    for row in rows(&tables, "opt_interval") {
        let line = format!("HEALTHCHECK --interval={} CMD x", text(row, "value"));
        let got = one(&line);
        let ok = match (&got, row["error"].as_str()) {
            (Err(got), Some(error)) => got.contains(error),
            (Ok(_), None) => true,
            _ => false,
        };
        report.holds(&line, ok, &format!("{got:?}"));
    }
    report.done(8 + 1 + 3);
}

/// The rows say how the words of a command become a command line, with and without JSON.
#[test]
fn command_lines() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables, "handle_json_args") {
        let args = strings(&row["args"]);
        let json = row["json"] == true;
        let line = if json {
            format!("CMD {}", json!(args))
        } else {
            format!("CMD {}", args.join(" "))
        };
        let Ok(Instruction::Cmd(got)) = one(&line) else {
            panic!("{line}")
        };
        report.equal(&line, &got.args, &strings(&row["expected"]));
    }
    report.done(4);
}

#[test]
fn comments() {
    let tables = tables();
    let case = &tables["comments"];
    let ast = parse(text(case, "dockerfile").as_bytes()).expect("it parses");
    let file = instructions::parse(&ast).expect("it is understood");
    let arg = |pair: &instructions::ArgPair| json!({"key": pair.key, "doc": pair.comment});
    let meta: Vec<Value> = file.global_args().map(arg).collect();
    let stage = |stage: &instructions::Stage| {
        let args = stage
            .commands
            .iter()
            .filter_map(|command| match &command.instruction {
                Instruction::Arg(command) => Some(command.args.iter().map(arg)),
                _ => None,
            });
        json!({"doc": stage.comment, "args": args.flatten().collect::<Vec<_>>()})
    };
    let stages: Vec<Value> = file.stages.iter().map(stage).collect();
    let mut report = Report::default();
    report.equal("meta_args", &json!(meta), &case["meta_args"]);
    report.equal("stages", &json!(stages), &case["stages"]);
    report.done(2);
}

#[test]
fn flags() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables, "flags") {
        let defs: Vec<(String, FlagKind, String)> = row["defs"]
            .as_object()
            .expect("a map")
            .iter()
            .map(|(name, def)| {
                let (kind, default) = def
                    .as_str()
                    .and_then(|d| d.split_once(':'))
                    .expect("kind:default");
                let kind = if kind == "bool" {
                    FlagKind::Bool
                } else {
                    FlagKind::Text
                };
                (name.clone(), kind, default.to_owned())
            })
            .collect();
        let known: Vec<(&str, FlagKind)> = defs
            .iter()
            .map(|(name, kind, _)| (name.as_str(), *kind))
            .collect();
        let words = strings(&row["args"]).into_iter().map(|text| Word {
            text,
            ..Word::default()
        });
        let got = parse_flags(&known, &words.collect::<Vec<_>>());
        let mut ok = got.is_ok() == (row["ok"] == true);
        if let Ok(flags) = &got {
            for (name, expect) in row["values"].as_object().into_iter().flatten() {
                let (_, kind, default) = defs.iter().find(|(n, _, _)| n == name).expect("a definition");
                let value = flags.get(name).unwrap_or(default);
                ok &= match kind {
                    FlagKind::Bool => json!(value == "true") == *expect,
                    _ => json!(value) == *expect,
                };
            }
            if row.get("used").is_some() {
                ok &= flags.used() == strings(&row["used"]);
            }
        }
        report.holds(&row["args"].to_string(), ok, &format!("{got:?}"));
    }
    report.done(14);
}

#[test]
fn no_instruction_panics() {
    let tables = tables();
    let mut report = Report::default();
    for name in NAMES {
        for suffix in strings(&tables["no_panic"]["suffixes"]) {
            let file = format!("FROM busybox\n{name}{suffix}");
            // Either way is fine; getting here is what counts.
            let _ = parse(file.as_bytes()).and_then(|ast| instructions::parse(&ast));
            report.holds(&file, true, "");
        }
    }
    report.done(18 * 5);
}
