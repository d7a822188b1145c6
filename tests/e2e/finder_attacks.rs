//! The hostile suite for what looks into images: catalogers and scanners.

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::repo;

/// An attack, the function of the contract that it goes through, and what must be said.
type Attack = (&'static str, &'static str, &'static str);

/// What a cataloger does. All of them send interests that ask for what is outside of the tree.
pub(crate) const CATALOGING: &[Attack] = &[
    ("loop", "cataloger.catalog", "reached the limit of fuel"),
    ("memory", "cataloger.catalog", "reached the limit of memory"),
    ("panic", "cataloger.catalog", "a guest's last words"),
    ("error", "cataloger.catalog", "not today"),
    ("many", "cataloger.catalog", "reached the limit of output size"),
    ("long", "cataloger.catalog", "has a text of more than 65536 bytes"),
];

/// What a cataloger answers that goes into the documents, where it does no harm.
const HARMLESS: &[&str] = &["purl", "control", "location", "none"];

/// What a scanner does.
pub(crate) const SCANNING: &[Attack] = &[
    ("loop", "scanner.scan", "reached the limit of fuel"),
    ("panic", "scanner.scan", "a guest's last words"),
    ("error", "scanner.scan", "not today"),
    (
        "parent",
        "scanner.scan",
        "`../etc/passwd` is not a clean relative path",
    ),
    (
        "absolute",
        "scanner.scan",
        "`/etc/passwd` is not a clean relative path",
    ),
    (
        "many",
        "scanner.scan",
        "200001 packages where at most 200000 are allowed",
    ),
    (
        "documents",
        "scanner.scan",
        "17 documents where at most 16 are allowed",
    ),
    ("media-type", "scanner.scan", "is no media type"),
    ("huge", "scanner.scan", "reached the limit of output size"),
];

fn build(kiln: &Kiln, kind: &str, attack: &str) -> Outcome {
    let project = Project::new("FROM scratch\nCOPY d /\n").file("d/attack", attack);
    std::os::unix::fs::symlink("/etc/passwd", project.join("d/link")).expect("a link can be made");
    let plugin = repo().join(format!("target/plugins/guest-{kind}.wasm"));
    let generator = format!("--sbom=generator={}", plugin.display());
    let output = format!("type=oci,dest={}", kiln.path("out.tar").display());
    let limits = [
        "--plugin-limit",
        "fuel=2000000000",
        "--plugin-limit",
        "memory=600MiB",
    ];
    kiln.build(
        project.path(),
        &[&[generator.as_str(), "-o", &output], &limits[..]].concat(),
    )
}

#[test]
fn catalogers_and_scanners_end_in_one_clear_error() {
    let kiln = Kiln::new();
    for (kind, attacks) in [("cataloger", CATALOGING), ("scanner", SCANNING)] {
        for (attack, _, said) in attacks {
            let outcome = build(&kiln, kind, attack);
            // As with BuildKit the image is made, and its SBOM is not.
            assert_eq!(outcome.code(), Some(0), "{kind} {attack}\n{}", outcome.report());
            let error = outcome.stderr.lines().find(|line| line.contains(" ERROR: "));
            assert!(
                error.is_some_and(|line| line.contains(said)),
                "{kind} {attack}: {said}\n{}",
                outcome.report()
            );
        }
        // A neighbour on the same store does not notice.
        _ = build(&kiln, kind, "none").ok().never_says("ERROR");
    }
}

#[test]
fn odd_answers_of_catalogers_do_no_harm() {
    let kiln = Kiln::new();
    for attack in HARMLESS {
        let outcome = build(&kiln, "cataloger", attack).ok().never_says("ERROR");
        assert!(
            !outcome.all().contains('\u{1b}'),
            "{attack}\n{}",
            outcome.report()
        );
        assert!(!outcome.stderr.contains("#9 DONE\n#9"), "{}", outcome.report());
    }
}

#[test]
fn links_lead_nowhere_outside_of_the_tree() {
    let outcome = build(&Kiln::new(), "scanner", "link").ok();
    _ = outcome.says("failed: link").never_says("root:");
}
