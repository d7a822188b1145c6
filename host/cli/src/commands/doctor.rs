//! `kiln doctor`.

use clap::Args;
use kiln_exec::Finding;
use kiln_exec::Verdict;

use super::Session;
use super::print;
use crate::exit::FAILED;
use crate::exit::Failure;
use crate::progress::Colour;
use crate::wiring;
use crate::wiring::Wanted;

/// What `kiln doctor` takes.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// OCI runtime to look at instead of the native executor
    #[arg(long, value_name = "RUNTIME", env = "KILN_OCI_RUNTIME")]
    oci_runtime: Option<String>,
    /// How steps get layers as a file system: auto, overlay or copy
    #[arg(long, value_name = "NAME", env = "KILN_SNAPSHOTTER")]
    snapshotter: Option<String>,
}

/// Says what works. Ends with 1 when something that builds need does not.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let wanted = Wanted {
        oci_runtime: args.oci_runtime.clone(),
        snapshotter: args.snapshotter.clone(),
        ..Wanted::default()
    };
    let mut findings = vec![settings(&session)];
    let engine = session.engine(&wanted);
    let mut more = Vec::new();
    findings.push(finding(
        "store",
        engine.map(|engine| {
            more = engine.check();
            let usage = engine.usage().map(|usage| crate::progress::bytes(usage.total));
            format!(
                "{}, {}",
                engine.config().root.display(),
                usage.unwrap_or_else(|error| error.to_string())
            )
        }),
    ));
    let root = wiring::root(&session.around)?;
    match wiring::executor(&root, &session.settings, &wanted) {
        Ok(executor) => findings.extend(executor.check()),
        Err(failure) => findings.push(finding("executor", Err(failure))),
    }
    findings.append(&mut more);
    findings.push(finding(
        "plugins",
        wiring::try_plugins(&session.around).map(|()| {
            format!(
                "the embedded frontend loads; machine code is kept in {}",
                root.join("wasm").display()
            )
        }),
    ));
    findings.push(credentials(&session));
    let colour = if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        Colour::of_stderr()
    } else {
        Colour::Off
    };
    print(
        &findings
            .iter()
            .map(|finding| render(finding, colour))
            .collect::<String>(),
    )?;
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    Ok(if broken { FAILED } else { 0 })
}

fn render(finding: &Finding, colour: Colour) -> String {
    let (word, code) = match finding.verdict {
        Verdict::Works => ("ok", "32"),
        Verdict::Limited => ("limited", "33"),
        Verdict::Missing => ("missing", "31"),
    };
    let word = colour.paint(code, &format!("{word:<8}"));
    let mut text = format!("{word} {}: {}\n", finding.subject, finding.detail);
    if let Some(advice) = &finding.advice {
        text += &format!("         hint: {advice}\n");
    }
    text
}

fn finding(subject: &str, found: Result<String, Failure>) -> Finding {
    let (verdict, detail) = match found {
        Ok(detail) => (Verdict::Works, detail),
        Err(failure) => {
            let text = failure.report.render(Colour::Off);
            (
                Verdict::Missing,
                text.trim_start_matches("error: ").trim_end().to_owned(),
            )
        }
    };
    Finding {
        subject: subject.to_owned(),
        verdict,
        detail,
        advice: None,
    }
}

fn settings(session: &Session) -> Finding {
    let insecure = session
        .settings
        .registry
        .iter()
        .filter(|(_, registry)| registry.insecure);
    let insecure: Vec<&str> = insecure.map(|(host, _)| host.as_str()).collect();
    let detail = match insecure.as_slice() {
        [] => "all registries need TLS, except those on this machine".to_owned(),
        hosts => format!("registries that may be insecure: {}", hosts.join(", ")),
    };
    finding("configuration", Ok(detail))
}

fn credentials(session: &Session) -> Finding {
    let path = wiring::docker_config(&session.around);
    let text = path.as_ref().map(|path| (path, std::fs::read_to_string(path)));
    let found = match text {
        Some((path, Ok(text))) if serde_json::from_str::<serde_json::Value>(&text).is_ok() => {
            Ok(format!("{} is used", path.display()))
        }
        Some((path, Ok(_))) => {
            let report = crate::report::Report::new(format!("{} is not JSON", path.display()));
            Err(Failure::usage(
                report.hint("make it anew with `docker login`, or remove it"),
            ))
        }
        _ => Ok("none: registries are used anonymously".to_owned()),
    };
    finding("credentials", found)
}
