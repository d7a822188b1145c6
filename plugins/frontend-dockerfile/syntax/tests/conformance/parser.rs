use crate::support::Report;
use crate::support::read;
use crate::support::shared;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::parse;

fn folders(path: &str) -> Vec<String> {
    let dir = std::fs::read_dir(shared().join(path)).expect("a folder of cases");
    let mut names: Vec<String> = dir
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn trees() {
    let mut report = Report::default();
    for name in folders("parser/testfiles") {
        let ast = parse(&read(&format!("parser/testfiles/{name}/Dockerfile")));
        let got = ast.map_or_else(|e| format!("error: {e}"), |ast| ast.dump().trim().to_owned());
        let expect = String::from_utf8(read(&format!("parser/testfiles/{name}/result"))).expect("UTF-8");
        report.equal(&name, &got, &expect.trim().to_owned());
    }
    report.done(33);
}

#[test]
fn files_that_are_refused() {
    let mut report = Report::default();
    for name in folders("parser/testfiles-negative") {
        let ast = parse(&read(&format!("parser/testfiles-negative/{name}/Dockerfile")));
        report.holds(&name, ast.is_err(), "it was parsed");
    }
    report.done(4);
}

#[test]
fn line_numbers() {
    let ast = parse(&read("parser/testfile-line/Dockerfile")).expect("it parses");
    let lines: Vec<_> = ast.nodes.iter().map(Node::lines).collect();
    assert_eq!(lines, [(5, 5), (11, 12), (17, 31)]);
}
