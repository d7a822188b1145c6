use crate::support::Report;
use crate::support::rows;
use crate::support::strings;
use crate::support::table;
use crate::support::text;
use kiln_dockerfile_syntax::instructions::HealthConfig;
use kiln_dockerfile_syntax::ports;

#[test]
fn exposed_ports() {
    let table = table("dockerfile2llb/convert_tables.json");
    let mut report = Report::default();
    for row in rows(&table, "expose") {
        let words = strings(&row["ports"]);
        let got = ports::parse(&words);
        let ok = match (&got, row["error"].as_str()) {
            (Ok(got), None) => *got == strings(&row["expected"]),
            (Err(got), Some(error)) => error.is_empty() || got.message() == error,
            _ => false,
        };
        report.holds(&words.join(" "), ok, &format!("{got:?}"));
    }
    report.done(17);
}

#[test]
fn health_history() {
    let table = table("dockerfile2llb/convert_tables.json");
    let second = 1_000_000_000;
    let health = HealthConfig {
        test: ["bin", "-c", "exit 0"].map(str::to_owned).to_vec(),
        interval: second,
        timeout: 10 * second,
        start_period: 3 * second,
        start_interval: second / 10,
        retries: 5,
    };
    assert_eq!(
        format!("HEALTHCHECK {health}"),
        text(&table, "healthcheck_history")
    );
}
