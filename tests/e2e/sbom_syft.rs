//! SBOMs beside those of syft, of a root file system with packages of many languages: whatever syft finds, kiln finds.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::tools;
use serde_json::Value;

use crate::root;

/// Type of the package URL, name, version.
type Found = BTreeSet<(String, String, String)>;

const DOCKERFILE: &str = "FROM languages
COPY --from=pypi . /opt/venv/lib/python3.11/site-packages
COPY audited /usr/local/bin/audited
COPY App.deps.json /app/App.deps.json
COPY installed.json /app/vendor/composer/installed.json
COPY --from=languages /usr/bin/bash /usr/bin/openssl /usr/bin/perl /usr/bin/python3.11 /usr/bin/php8.2 /usr/local/bin/
COPY --from=languages /usr/sbin/nginx /usr/local/sbin/
COPY --from=languages /usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.* /usr/local/lib/
COPY --from=busybox /bin/busybox /opt/busybox
";

const DEPS: &str = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0","signature":""},
"targets":{".NETCoreApp,Version=v8.0":{"Serilog.Sinks.Console/5.0.1":{"dependencies":{"Serilog":"3.1.1"},"runtime":{"lib/a.dll":{}}},"Serilog/3.1.1":{"runtime":{"lib/b.dll":{}}}}},
"libraries":{"Serilog/3.1.1":{"type":"package","serviceable":true,"sha512":"sha512-x","path":"serilog/3.1.1"},
"Serilog.Sinks.Console/5.0.1":{"type":"package","serviceable":true,"sha512":"sha512-y","path":"serilog.sinks.console/5.0.1"}}}"#;

const INSTALLED: &str = r#"{"packages":[{"name":"monolog/monolog","version":"3.5.0","license":["MIT"],"require":{"psr/log":"^3"}},
{"name":"psr/log","version":"3.0.0","license":["MIT"]}],"dev":true,"dev-package-names":[]}"#;

/// What syft finds and kiln calls otherwise, with the reason. The table in `docs/sbom.md` has them too.
const EXCEPT: [(&str, &str, &str); 2] = [
    (
        "maven",
        "logging",
        "`commons-logging-*.jar`: syft takes the last word of the bundle's name",
    ),
    (
        "nuget",
        "Simple Launcher",
        "a Windows program in C inside pip: no package of .NET",
    ),
];

/// A program with a list of its crates, as cargo-auditable writes it.
fn audited(project: &Project) {
    let list = br#"{"packages":[{"name":"audited","version":"0.1.0","source":"local","dependencies":[1,2],"root":true},{"name":"itoa","version":"1.0.9","source":"crates.io"},{"name":"ryu","version":"1.0.15","source":"crates.io"}]}"#;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(list).expect("it fits into memory");
    let packed = packed.finish().expect("it fits into memory");
    project.write("list", &packed);
    let source = format!(
        "#[used]\n#[unsafe(link_section = \".dep-v0\")]\nstatic LIST: [u8; {}] = *include_bytes!(\"list\");\nfn main() {{}}\n",
        packed.len()
    );
    project.write("audited.rs", source.as_bytes());
    let (source, program) = (project.join("audited.rs"), project.join("audited"));
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "-o"]).arg(program).arg(source);
    assert!(rustc.status().expect("rustc runs").success());
}

/// Returns the packages of the SPDX document in kiln's layout.
fn of_kiln(layout: &Path) -> Found {
    let json = |digest: &Value| -> Value {
        let name = digest.as_str().expect("a digest").replace(':', "/");
        let bytes = std::fs::read(layout.join("blobs").join(name)).expect("the blob is there");
        serde_json::from_slice(&bytes).expect("it is JSON")
    };
    let bytes = std::fs::read(layout.join("index.json")).expect("a layout");
    let top: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    let index = json(&top["manifests"][0]["digest"]);
    let manifest = json(&index["manifests"][1]["digest"]);
    let statement = json(&manifest["layers"][0]["digest"]);
    let packages = statement["predicate"]["packages"].as_array().expect("packages");
    let refs = packages.iter().map(|package| {
        let purl = package["externalRefs"].as_array().into_iter().flatten();
        let mut purl = purl.filter_map(|one| one["referenceLocator"].as_str());
        (package, purl.find(|locator| locator.starts_with("pkg:")))
    });
    refs.filter_map(|(package, purl)| Some(found(purl?, &package["name"], &package["versionInfo"])))
        .collect()
}

fn of_syft(layout: &Path, home: &Path) -> (Found, BTreeMap<String, String>) {
    let mut syft = Command::new(tools().join("syft/bin/syft"));
    syft.arg("-q").arg(format!("oci-dir:{}", layout.display()));
    syft.args(["-o", "json"])
        .env("HOME", home)
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    let output = syft.output().expect("syft runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let (mut all, mut places) = (Found::new(), BTreeMap::new());
    for package in document["artifacts"].as_array().expect("packages") {
        let purl = package["purl"].as_str().expect("a purl");
        let one = found(purl, &package["name"], &package["version"]);
        let place = package["locations"][0]["path"].as_str().unwrap_or_default();
        places.insert(format!("{one:?}"), place.to_owned());
        all.insert(one);
    }
    (all, places)
}

/// Words for an unknown version count as none; PyPI's names are the same in all spellings.
fn found(purl: &str, name: &Value, version: &Value) -> (String, String, String) {
    let kind = purl
        .trim_start_matches("pkg:")
        .split('/')
        .next()
        .unwrap_or_default();
    let (mut name, version) = (
        name.as_str().unwrap_or_default().to_owned(),
        version.as_str().unwrap_or_default(),
    );
    if kind == "pypi" {
        name = name.to_lowercase().replace(['_', '.'], "-");
    }
    let version = match version {
        "UNKNOWN" | "(devel)" => "",
        version => version,
    };
    (kind.to_owned(), name, version.to_owned())
}

#[test]
fn whatever_syft_finds_is_found() {
    let kiln = Kiln::new();
    let project = Project::new(DOCKERFILE)
        .file("App.deps.json", DEPS)
        .file("installed.json", INSTALLED);
    audited(&project);
    let site = tools().join("syft/lib");
    let version = std::fs::read_dir(&site).expect("an environment").next();
    let version = version.expect("a version of Python").expect("its folder").path();
    let pypi = format!("pypi={}", version.join("site-packages").display());
    let (languages, busybox) = (root("languages"), root("busybox"));
    let contexts = [
        "--build-context",
        &languages,
        "--build-context",
        &busybox,
        "--build-context",
        &pypi,
    ];
    // syft reads no index in an index.
    let build = |name: &str, sbom: &str| {
        let out = kiln.path(name);
        let output = format!("type=oci,tar=false,name=example.com/app:1,dest={}", out.display());
        let args = [sbom, "--provenance=false", "-o", &output];
        let _built = kiln.build(project.path(), &[&contexts[..], &args].concat()).ok();
        out
    };
    let ours = of_kiln(&build("out", "--sbom=true"));
    let (theirs, places) = of_syft(&build("plain", "--sbom=false"), kiln.home());
    let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for one in ours.union(&theirs) {
        let counts = kinds.entry(&one.0).or_default();
        let column = match (ours.contains(one), theirs.contains(one)) {
            (true, true) => 0,
            (true, false) => 1,
            _ => 2,
        };
        counts[column] += 1;
    }
    for (kind, [both, kiln, syft]) in &kinds {
        println!("| {kind} | {both} | {kiln} | {syft} |");
    }
    for one in ours.difference(&theirs) {
        println!("found by kiln alone: {one:?}");
    }
    let excused = |one: &&(String, String, String)| {
        !EXCEPT
            .iter()
            .any(|(kind, name, _)| (one.0.as_str(), one.1.as_str()) == (*kind, *name))
    };
    let missing: Vec<String> = theirs
        .difference(&ours)
        .filter(excused)
        .map(|one| format!("{one:?} in `{}`", places[&format!("{one:?}")]))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    for kind in [
        "cargo", "composer", "deb", "gem", "golang", "maven", "npm", "pypi", "generic",
    ] {
        assert!(
            kinds.get(kind).is_some_and(|counts| counts[0] > 0),
            "{kind} is not compared: {kinds:?}"
        );
    }
}
