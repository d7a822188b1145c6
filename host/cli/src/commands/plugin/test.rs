//! `kiln plugin test`: golden tests of a frontend. A case is a folder with `input/` and `expected.txt`.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use kiln_image::Platform;
use kiln_plugin::Request;

use super::FindArgs;
use super::catalog::Cataloged;
use super::print;
use super::run::Loaded;
use super::run::outcome_text;
use crate::exit;
use crate::exit::Failure;
use crate::report::Report;

/// What `kiln plugin test` takes.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The plugin, as `--plugin` takes it
    #[arg(value_name = "SPEC")]
    plugin: String,
    /// Folder with the cases
    #[arg(value_name = "FOLDER", default_value = "tests")]
    cases: PathBuf,
    /// Build file in each case's input
    #[arg(short, long, value_name = "PATH", default_value = "Dockerfile")]
    file: String,
    /// Write down what comes out as what is expected
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    find: FindArgs,
}

/// A plugin of a kind that has golden tests.
enum Tested {
    Frontend(Loaded),
    Cataloger(Cataloged),
}

pub(super) fn run(args: &TestArgs) -> Result<u8, Failure> {
    let failed =
        |e: &std::io::Error| Failure::io(&format!("read the cases in `{}`", args.cases.display()), e);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&args.cases)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|e| failed(&e))?;
    cases.retain(|case| case.join("input").is_dir());
    cases.sort();
    if cases.is_empty() {
        let report = Report::new(format!("`{}` has no cases", args.cases.display()));
        return Err(Failure::usage(
            report.hint("a case is a folder with `input/` and `expected.txt`"),
        ));
    }
    let tested = match Cataloged::open(&args.plugin, &args.find)? {
        Some(cataloged) => Tested::Cataloger(cataloged),
        None => Tested::Frontend(Loaded::open(&args.plugin, &args.find)?),
    };
    let (mut out, mut broken) = (String::new(), 0);
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        match outcome(args, &tested, case)? {
            None => out += &format!("ok      {name}\n"),
            Some(difference) => {
                broken += 1;
                out += &format!("FAILED  {name}\n{difference}");
            }
        }
    }
    out += &format!("{} cases, {broken} failed\n", cases.len());
    print(&out)?;
    Ok(if broken == 0 { 0 } else { exit::FAILED })
}

/// Runs a case; none when it is as expected.
fn outcome(args: &TestArgs, tested: &Tested, case: &Path) -> Result<Option<String>, Failure> {
    let input = case.join("input");
    let actual = match tested {
        Tested::Cataloger(cataloged) => cataloged.packages(&input)?,
        Tested::Frontend(loaded) => {
            let request = Request::new(args.file.clone(), Platform::new("linux", "amd64", None));
            outcome_text(loaded.lower(&input, &request)?.0)?
        }
    };
    let file = case.join("expected.txt");
    if args.update {
        let written = std::fs::write(&file, actual);
        return written
            .map(|()| None)
            .map_err(|e| Failure::io(&format!("write `{}`", file.display()), &e));
    }
    let expected = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|e| Failure::io(&format!("read `{}`", file.display()), &e))?,
    };
    Ok((expected != actual).then(|| difference(&expected, &actual)))
}

/// Shows the first lines that differ, with those around them.
pub(super) fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..]
        .iter()
        .rev()
        .zip(new[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut out = format!(
        "  line {}, expected (-) and actual (+); `--update` takes the actual\n",
        same + 1
    );
    let removed = old[same..old.len() - tail]
        .iter()
        .map(|line| format!("  - {line}\n"));
    let added = new[same..new.len() - tail]
        .iter()
        .map(|line| format!("  + {line}\n"));
    removed
        .take(20)
        .chain(added.take(20))
        .for_each(|line| out += &line);
    out
}
