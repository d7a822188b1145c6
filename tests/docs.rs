//! Links between the documents lead somewhere.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use kiln_tests::support::repo;
use regex_lite::Regex;

fn documents() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(repo()).args(["ls-files", "-z", "*.md"]);
    let listed = git.output().expect("git lists files").stdout;
    let listed = String::from_utf8(listed).expect("names are text");
    listed.split_terminator('\0').map(PathBuf::from).collect()
}

/// Returns the text without what is shown as code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let line = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    };
    text.lines().filter(line).collect::<Vec<_>>().join("\n")
}

/// Returns what a heading is called in links.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns what is wrong with a link of a document.
fn problem(document: &Path, link: &str) -> Option<String> {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let mut target = repo().join(document);
    if !path.is_empty() {
        target.pop();
        target.push(path);
    }
    if !target.exists() {
        return Some(format!("{}: `{link}` leads nowhere", document.display()));
    }
    if heading.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&target).expect("a link with `#` is to a document");
    let found = prose(&text)
        .lines()
        .any(|line| line.starts_with('#') && anchor(line) == heading);
    (!found).then(|| format!("{}: `{link}` names no heading", document.display()))
}

#[test]
fn the_book_has_every_page_and_stays_inside() {
    let summary = std::fs::read_to_string(repo().join("docs/SUMMARY.md")).expect("there is a summary");
    let pattern = Regex::new(r"\]\(([^)\s]+)\)").expect("it is a pattern");
    let mut pages = 0;
    for document in documents() {
        let Ok(page) = document.strip_prefix("docs") else {
            continue;
        };
        let listed = page == Path::new("SUMMARY.md") || summary.contains(&format!("]({})", page.display()));
        assert!(listed, "`{}` is not in docs/SUMMARY.md", document.display());
        pages += 1;
        let text = std::fs::read_to_string(repo().join(&document)).expect("a document is text");
        let up = "../".repeat(page.components().count());
        let outside = pattern
            .captures_iter(&prose(&text))
            .find(|link| link[1].starts_with(&up))
            .is_some();
        assert!(
            !outside,
            "`{}` links to what is not in the book",
            document.display()
        );
    }
    assert!(pages > 30, "only {pages} pages were found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let pattern = Regex::new(r"\]\(([^)\s]+)\)").expect("it is a pattern");
    let (mut problems, mut links) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(repo().join(&document)).expect("a document is text");
        let text = prose(&text);
        let found = pattern.captures_iter(&text).map(|found| found[1].to_owned());
        for link in found.filter(|link| !link.contains("://")) {
            links += 1;
            problems.extend(problem(&document, &link));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(links > 20, "only {links} links were found");
}
