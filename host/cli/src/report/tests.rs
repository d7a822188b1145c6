//! What people read when something is wrong.

use std::error::Error;
use std::fmt;

use kiln_graph::Position;
use kiln_graph::SourceFile;
use kiln_graph::Span;

use super::Excerpt;
use super::Report;
use crate::progress::Colour;

fn place(data: &str, start: (u32, u32), end: (u32, u32)) -> Option<Excerpt> {
    let file = SourceFile {
        name: "Dockerfile".to_owned(),
        language: String::new(),
        data: data.into(),
    };
    let position = |(line, column)| Position { line, column };
    Excerpt::new(
        &file,
        &Span {
            source: 0,
            start: position(start),
            end: position(end),
        },
    )
}

#[derive(Debug)]
struct Chain(Vec<&'static str>, Option<Box<Self>>);

impl Chain {
    fn new(texts: &[&'static str]) -> Self {
        let (first, rest) = texts.split_first().expect("a text");
        let source = (!rest.is_empty()).then(|| Box::new(Self::new(rest)));
        Self(vec![first], source)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0[0])
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[test]
fn the_place_is_underlined() {
    let text = "FROM a\n\n\n\n\n\nCOYP --from=build /out /usr/local/bin\n";
    let report = Report::new("dockerfile parse error on line 7: unknown instruction: COYP")
        .at(place(text, (7, 1), (7, 5)).expect("a place"))
        .hint("did you mean `COPY`?");
    insta::assert_snapshot!(report.render(Colour::Off), @r#"
    error: dockerfile parse error on line 7: unknown instruction: COYP
      --> Dockerfile:7:1
       |
     7 | COYP --from=build /out /usr/local/bin
       | ^^^^
    hint: did you mean `COPY`?
    "#);
}

#[test]
fn several_lines_are_shown_up_to_a_bound() {
    let text = (1..=12).map(|n| format!("  line {n} \\\n")).collect::<String>();
    let excerpt = place(&text, (8, 3), (10, 7)).expect("a place");
    insta::assert_snapshot!(excerpt.render(Colour::Off), @r#"
      --> Dockerfile:8:3
       |
     8 |   line 8 \
       |   ^^^^^^^^
     9 |   line 9 \
       |   ^^^^^^^^
    10 |   line 10 \
       |   ^^^^
    "#);
    let excerpt = place(&text, (1, 1), (12, 1)).expect("a place");
    insta::assert_snapshot!(excerpt.render(Colour::Off), @r#"
     --> Dockerfile:1:1
      |
    1 |   line 1 \
      |   ^^^^^^^^
    2 |   line 2 \
      |   ^^^^^^^^
    3 |   line 3 \
      |   ^^^^^^^^
    4 |   line 4 \
      |   ^^^^^^^^
    5 |   line 5 \
      |   ^^^^^^^^
    6 |   line 6 \
      |   ^^^^^^^^
      | ...
    "#);
}

#[test]
fn columns_are_those_of_the_screen() {
    let excerpt = place("\tRUN 構築 x\n", (1, 6), (1, 12)).expect("a place");
    insta::assert_snapshot!(excerpt.render(Colour::Off), @r#"
     --> Dockerfile:1:6
      |
    1 |     RUN 構築 x
      |         ^^^^
    "#);
    let excerpt = place("RUN \x1b[31mred\n", (1, 5), (1, 13)).expect("a place");
    insta::assert_snapshot!(excerpt.render(Colour::Off), @r#"
     --> Dockerfile:1:5
      |
    1 | RUN red
      |     ^^^
    "#);
    let excerpt = place("RUN", (1, 4), (1, 4)).expect("a place");
    insta::assert_snapshot!(excerpt.render(Colour::Off), @r#"
     --> Dockerfile:1:4
      |
    1 | RUN
      |    ^
    "#);
}

#[test]
fn a_place_outside_its_text_is_left_out() {
    assert_eq!(place("a\n", (9, 1), (9, 2)), None);
    assert_eq!(place("a\n", (0, 0), (0, 0)), None);
    assert!(place("a\n", (1, 70), (1, 90)).is_some());
    assert!(place("a\n", (1, 1), (u32::MAX, u32::MAX)).is_some());
}

#[test]
fn causes_are_listed_once() {
    let error = Chain::new(&[
        "cannot open the store",
        "cannot read `x`.",
        "cannot read `x`",
        "no\x1b[2J such file",
    ]);
    insta::assert_snapshot!(Report::of(&error).render(Colour::Off), @r#"
    error: cannot open the store
      caused by: cannot read `x`
      caused by: no[2J such file
    "#);
    insta::assert_snapshot!(Report::prefixed("failed to solve", &error).note("a note").render(Colour::On), @r#"
    [1;31merror:[0m failed to solve: cannot open the store
    a note
      caused by: cannot read `x`
      caused by: no[2J such file
    "#);
}
