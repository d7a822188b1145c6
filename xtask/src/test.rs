//! `cargo xtask test`: installs what the tests need, runs every test, counts them.

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use anyhow::bail;

use crate::build;
use crate::packages;
use crate::process;
use crate::roots;
use crate::tools;

/// What the runs of all test binaries add up to.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs all tests; words after `--` go to `cargo test`. Services that tests need are started and stopped by the tests
/// themselves.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::TESTS)?;
    let roots = roots::make()?;
    let path = tools::ensure(&roots)?;
    let binary = build::binary(root, build::Profile::Dev)?;
    let mut cargo = process::cargo();
    cargo
        .current_dir(root)
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(args)
        .env("PATH", path)
        .env("KILN_BIN", binary)
        .env("KILN_TEST_ROOTS", roots)
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run `cargo test`")?;
    let mut count = Count::default();
    let stdout = child.stdout.take().context("the tests have no output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read the tests' output")?;
        println!("{line}");
        add(&mut count, &line);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    let Count {
        passed,
        failed,
        ignored,
    } = count;
    println!();
    if ignored == 0 {
        println!("{passed} passed, {failed} failed");
    } else {
        println!("{passed} passed, {failed} failed, {ignored} skipped");
    }
    if !status.success() || failed > 0 {
        bail!("tests failed");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Adds a line such as `test result: ok. 9 passed; 0 failed; 0 ignored; …`.
fn add(count: &mut Count, line: &str) {
    let Some(rest) = line.trim().strip_prefix("test result: ") else {
        return;
    };
    for (number, what) in rest
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
    {
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" => count.passed += number,
            "failed" => count.failed += number,
            "ignored" => count.ignored += number,
            _ => {}
        }
    }
}
