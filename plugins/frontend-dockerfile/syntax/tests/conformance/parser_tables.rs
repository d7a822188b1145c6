use crate::support::Report;
use crate::support::rows;
use crate::support::strings;
use crate::support::table;
use crate::support::text;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::directives;
use kiln_dockerfile_syntax::directives::Directive;
use kiln_dockerfile_syntax::heredoc;
use kiln_dockerfile_syntax::parse;
use serde_json::Value;
use serde_json::json;

fn tables() -> Value {
    table("parser/parser_tables.json")
}

/// Parses one instruction.
fn node(line: &str) -> Result<Node, String> {
    let ast = parse(line.as_bytes()).map_err(|e| e.to_string())?;
    assert_eq!(ast.nodes.len(), 1, "{line:?}");
    Ok(ast.nodes[0].clone())
}

fn words(line: &str) -> Result<Vec<String>, String> {
    Ok(node(line)?.args.iter().map(|word| word.text.clone()).collect())
}

#[test]
fn heredocs() {
    let tables = tables();
    let case = &tables["extract_heredocs"];
    let ast = parse(text(case, "dockerfile").as_bytes()).expect("it parses");
    let mut report = Report::default();
    for (i, expect) in rows(case, "expected").iter().enumerate() {
        let node = &ast.nodes[i + 1];
        let got: Vec<Value> = node
            .heredocs
            .iter()
            .map(|h| {
                let mut value = json!({"Name": h.name, "Content": h.content, "Expand": h.expand});
                if h.fd != 0 {
                    value["FileDescriptor"] = json!(h.fd);
                }
                if h.chomp {
                    value["Chomp"] = json!(true);
                }
                value
            })
            .collect();
        let expect = expect.as_array().cloned().unwrap_or_default();
        report.equal(&node.original, &got, &expect);
    }
    assert_eq!(ast.nodes.len(), 28);
    let json = parse(text(&tables, "json_form_has_no_heredoc").as_bytes()).expect("it parses");
    for node in &json.nodes {
        report.holds(&node.original, node.heredocs.is_empty(), "it has a heredoc");
    }
    report.done(27 + 4);
}

#[test]
fn heredoc_words() {
    let tables = tables();
    let helpers = &tables["helpers"];
    let mut report = Report::default();
    for word in strings(&helpers["valid_name_EOF"]) {
        let name = heredoc::parse(&word).map(|found| found.map(|h| h.name));
        report.equal(&word, &name, &Ok(Some("EOF".to_owned())));
    }
    for word in strings(&helpers["error"]) {
        report.holds(&word, heredoc::parse(&word).is_err(), "no error");
    }
    for word in strings(&helpers["not_heredoc"]) {
        report.equal(&word, &heredoc::parse(&word), &Ok(None));
    }
    for row in rows(&tables, "from_line") {
        let line = text(row, "line");
        let names = heredoc::in_line(line).map(|all| all.into_iter().map(|h| h.name).collect());
        report.equal(line, &names, &Ok(strings(&row["heredocNames"])));
    }
    for row in rows(&tables, "chomp") {
        let input = text(row, "in");
        report.equal(input, &heredoc::chomp(input), &text(row, "out").to_owned());
    }
    report.done(9 + 4 + 7 + 10 + 1);
}

#[test]
fn words_and_pairs() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables, "parse_words") {
        let input = text(row, "input");
        report.equal(
            input,
            &words(&format!("ARG {input}")),
            &Ok(strings(&row["expect"])),
        );
    }
    for row in rows(&tables, "name_val") {
        let name = text(row, "fn").rsplit(' ').next().expect("a name");
        let got = words(&format!("{name} {}", text(row, "in")));
        let expect = match row["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(strings(&row["out"])),
        };
        report.equal(text(row, "in"), &got, &expect);
    }
    report.done(8 + 3);
}

#[test]
fn json_arrays() {
    let tables = tables();
    let arrays = &tables["json_arrays"];
    let mut report = Report::default();
    for (input, expect) in arrays["valid"].as_object().expect("a map") {
        let node = node(&format!("CMD {input}"));
        let got = node.map(|n| (n.json, n.args.iter().map(|w| w.text.clone()).collect::<Vec<_>>()));
        report.equal(input, &got, &Ok((true, strings(expect))));
    }
    let error = "when using JSON array syntax, arrays must be comprised of strings only";
    for input in strings(&arrays["invalid_not_string_array"]) {
        report.equal(&input, &words(&format!("CMD {input}")), &Err(error.to_owned()));
    }
    report.done(8 + 8);
}

#[test]
fn empty_continuation_lines() {
    let tables = tables();
    let case = &tables["empty_continuation"];
    let ast = parse(text(case, "dockerfile").as_bytes()).expect("it parses");
    let mut report = Report::default();
    report.equal(
        "warnings",
        &(ast.warnings.len() as u64),
        &case["warnings"].as_u64().expect("a number"),
    );
    for (warning, expect) in ast.warnings.iter().zip(strings(&case["short_contains"])) {
        report.holds(&expect, warning.short.contains(&expect), &warning.short);
    }
    report.done(3);
}

#[test]
fn line_length() {
    let tables = tables();
    let error = text(&tables["too_long_line"], "error");
    let check = |length: usize, end: &str, ok: bool| {
        let line = format!(
            "FROM scratch\nLABEL a={}{end}",
            "x".repeat(length - "LABEL a=".len())
        );
        let got = parse(line.as_bytes()).map(drop).map_err(|e| e.to_string());
        assert_eq!(
            got,
            if ok { Ok(()) } else { Err(error.to_owned()) },
            "{length} {end:?}"
        );
    };
    check(65535, "", true);
    check(65535, "\n", true);
    check(65536, "", false);
    check(65536, "\nRUN x", false);
}

#[test]
fn directive_lines() {
    let tables = tables();
    let mut report = Report::default();
    for row in rows(&tables["directives"], "cases") {
        let input = text(row, "in");
        let file = format!("{input}FROM scratch");
        let got = parse(file.as_bytes()).expect("it parses").directives;
        let got: Vec<Value> = got.iter().map(|d| json!([d.name, d.value])).collect();
        report.equal(input, &json!(got), &row["out"]);
    }
    for row in rows(&tables, "detect_syntax") {
        let bom = if row["in_bom"] == true { "\u{feff}" } else { "" };
        let file = format!("{bom}{}", text(row, "in"));
        check_found(
            &mut report,
            row,
            "ref",
            directives::detect_syntax(file.as_bytes()),
        );
    }
    for row in rows(&tables, "parse_directive_check") {
        let found = directives::find_directive("check", text(row, "in").as_bytes());
        check_found(&mut report, row, "value", found);
    }
    report.done(2 + 10 + 5);
}

fn check_found(report: &mut Report, row: &Value, key: &str, found: Option<Directive>) {
    let mut got = json!({key: found.as_ref().map(Directive::first_word)});
    let mut expect = json!({key: row[key]});
    if let Some(found) = found {
        for (key, value) in [("cmdline", json!(found.value)), ("line", json!(found.line))] {
            if row.get(key).is_some() {
                got[key] = value;
                expect[key] = row[key].clone();
            }
        }
    }
    report.equal(text(row, "in"), &got, &expect);
}
