//! `cargo xtask demo`: builds everything and the image of `examples/hello`, and shows what came out.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use crate::build;
use crate::packages;
use crate::process;

/// Name of the image.
const NAME: &str = "hello:latest";

/// Builds `examples/hello` and runs its program.
pub(crate) fn run(root: &Path, _: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::DEMO)?;
    let kiln = build::binary(root, build::Profile::Release)?;
    let example = root.join("examples/hello");
    std::fs::copy("/usr/bin/busybox", example.join("busybox"))
        .context("cannot copy busybox into the example")?;
    let home = root.join("target/demo");
    let kiln = |args: &[&str]| {
        let mut command = Command::new(&kiln);
        command.env("KILN_HOME", &home).args(args);
        command
    };
    let context = example.display().to_string();
    let archive = root.join("target/demo-hello.tar");
    let output = format!("type=oci,dest={}", archive.display());
    println!("\n$ kiln build -t {NAME} -o type=image -o {output} examples/hello");
    let started = Instant::now();
    process::run(&mut kiln(&[
        "build",
        "-t",
        NAME,
        "-o",
        "type=image",
        "-o",
        &output,
        &context,
    ]))?;
    let cold = started.elapsed();
    let started = Instant::now();
    process::run(&mut kiln(&[
        "build",
        "--progress=quiet",
        "-t",
        NAME,
        "-o",
        "type=image",
        "-o",
        &output,
        &context,
    ]))?;
    let warm = started.elapsed();
    println!("\n$ kiln inspect {NAME}");
    process::run(&mut kiln(&["inspect", NAME]))?;
    println!(
        "\nbuilt in {:.2} s, again with nothing changed in {:.2} s",
        cold.as_secs_f64(),
        warm.as_secs_f64()
    );
    println!(
        "archive: {} ({} bytes)",
        archive.display(),
        std::fs::metadata(&archive)?.len()
    );
    println!("\nthe image's program says:");
    run_program(&kiln(&[]), &context)
}

/// Runs the image's program as a step of a build, the one way of running it that needs nothing but kiln.
fn run_program(kiln: &Command, _: &str) -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(format!("kiln-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    std::fs::write(
        directory.join("Dockerfile"),
        format!("FROM {NAME}\nRUN [\"/hello\"]\n"),
    )?;
    let mut command = Command::new(kiln.get_program());
    command.envs(kiln.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
        .args(["build", "--no-cache", "--progress=plain", "-o", "type=cacheonly"])
        .arg(&directory);
    let output = command.output().context("cannot run kiln")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    std::fs::remove_dir_all(&directory)?;
    anyhow::ensure!(output.status.success(), "the image's program failed:\n{text}");
    text.lines()
        .filter(|line| line.contains("hello from"))
        .for_each(|line| println!("  {line}"));
    Ok(())
}
