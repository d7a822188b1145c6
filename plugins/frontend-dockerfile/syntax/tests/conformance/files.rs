use crate::support::Report;
use crate::support::table;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::parse;
use serde_json::Value;

/// Collects every text under a `dockerfile` key; elsewhere the key names a file.
fn dockerfiles(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| dockerfiles(item, out)),
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(file) if key == "dockerfile" && file.to_lowercase().contains("from ") => {
                        out.push(file.to_owned());
                    }
                    _ => dockerfiles(value, out),
                }
            }
        }
        _ => {}
    }
}

/// Every Dockerfile of the build and lint cases is understood, but for those that say what is wrong with them.
#[test]
fn files_of_other_suites() {
    let refused = [
        "dockerfile parse error on line 4: unknown instruction: BADCMD",
        "dockerfile parse error on line 3: 'from' doesn't support variable expansion, define alias stage instead",
    ];
    let mut files = Vec::new();
    dockerfiles(&table("dockerfile/build_cases.json"), &mut files);
    dockerfiles(&table("lint/lint_cases.json"), &mut files);
    dockerfiles(&table("lint/subrequest_cases.json"), &mut files);
    dockerfiles(&table("dockerfile2llb/convert_tables.json"), &mut files);
    let mut report = Report::default();
    for file in &files {
        let error = parse(file.as_bytes())
            .and_then(|ast| instructions::parse(&ast))
            .err();
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        report.holds(
            file,
            error.is_empty() || refused.contains(&error.as_str()),
            &error,
        );
    }
    report.done(107);
}
