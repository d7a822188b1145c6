//! What plugins did in a build: reported, recorded, explained, traced.

use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::repo;
use kiln_tests::support::run;

fn kiln_in(kiln: &Kiln, project: &Project, line: &str) -> kiln_tests::support::Outcome {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = kiln.command(&words);
    command.current_dir(project.path());
    run(command)
}

fn explained(kiln: &Kiln, project: &Project) -> serde_json::Value {
    let text = kiln_in(kiln, project, "explain --json").ok().text();
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_build_says_what_its_plugins_used_and_why_they_ran() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY a /\n").file("a", "1");
    let said = kiln_in(&kiln, &project, "explain").all();
    assert!(said.contains("no build is recorded"), "{said}");
    let build = "build --progress=plain -o type=cacheonly .";
    let said = kiln_in(&kiln, &project, build).ok().all();
    let line = said
        .lines()
        .find(|line| line.starts_with("plugin builtin:dockerfile frontend "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in [
        "fuel ",
        " ms, peak memory ",
        " host calls, ",
        "granted all, used nothing",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(
        explained(&kiln, &project)["plugins"][0]["calls"][0]["memo"],
        "new"
    );
    let fuel = explained(&kiln, &project)["plugins"][0]["calls"][0]["usage"]["fuel"].clone();

    // A file that the frontend does not look at is another layer and the same graph.
    project.write("a", b"2");
    let _built = kiln_in(&kiln, &project, build).ok();
    let record = explained(&kiln, &project);
    assert_eq!(record["plugins"][0]["calls"][0]["memo"], "hit");
    assert_eq!(record["plugins"][0]["calls"][0]["usage"]["fuel"], fuel);
    let text = kiln_in(&kiln, &project, "explain").ok().text();
    assert!(text.contains("memo hit: the host's 4 answers"), "{text}");

    project.write(".dockerignore", b"b\n");
    let _built = kiln_in(&kiln, &project, build).ok();
    let text = kiln_in(&kiln, &project, "explain").ok().text();
    assert!(
        text.contains("ran: another answer to the question for the file `.dockerignore`"),
        "{text}"
    );
    let ids = kiln_in(&kiln, &project, "explain --list").ok().text();
    assert_eq!(ids.lines().count(), 3, "{ids}");
    let first = ids.lines().next().expect("three lines");
    let text = kiln_in(&kiln, &project, &format!("explain {first}")).ok().text();
    assert!(
        text.contains("ran: no call with this request is remembered"),
        "{text}"
    );
    let said = kiln_in(&kiln, &project, "explain 2").all();
    assert!(said.contains("3 builds are called `2…`"), "{said}");
}

#[test]
fn grants_are_asked_granted_and_used() {
    let kiln = Kiln::new();
    let guest = repo().join("target/plugins/guests.wasm");
    let project = Project::new("FROM scratch\n")
        .file("build.txt", "network-host\n")
        .file("s", "x");
    let plugin = format!("{},grant=network.host,grant=secret:unused", guest.display());
    let build = format!("build --progress=plain -f build.txt -o type=cacheonly --plugin {plugin} .");
    // The plugin may, and the user must allow it as well.
    let said = kiln_in(&kiln, &project, &build).all();
    assert!(
        said.contains("granted secret:unused network.host, used network.host"),
        "{said}"
    );
    let record = explained(&kiln, &project);
    assert_ne!(record["outcome"], "done");
    assert_eq!(record["plugins"][0]["used"], serde_json::json!(["network.host"]));
}

#[test]
fn limits_can_be_set_for_one_kind() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY a /\n").file("a", "1");
    let build = |limit: &str| {
        let line = format!("build -o type=image --sbom=required=true --plugin-limit {limit} .");
        kiln_in(&kiln, &project, &line)
    };
    // Before anything is remembered.
    for (limit, plugin) in [
        ("frontend.fuel=1", "`builtin:dockerfile`"),
        ("cataloger.fuel=1", "`builtin:cataloger-"),
    ] {
        let said = build(limit).all();
        assert!(said.contains(plugin) && said.contains("limit of fuel"), "{said}");
    }
    let _fine = build("scanner.fuel=1").ok();
    let said = build("exporter.fuel=1").all();
    assert!(said.contains("unknown plugin limit `exporter.fuel`"), "{said}");
}

#[test]
fn a_build_leaves_a_trace_that_is_played_again() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nARG A=1\nCOPY a /$A\n").file("a", "1");
    let build = "build -o type=cacheonly --plugin-trace trace.json --build-arg A=7 .";
    for _memo in 0..2 {
        let _built = kiln_in(&kiln, &project, build).ok();
        let said = kiln_in(&kiln, &project, "plugin replay trace.json").ok().text();
        assert!(said.contains("same outcome as recorded"), "{said}");
    }
}

#[test]
fn a_graph_is_drawn() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch AS a\nCOPY <b> /\nFROM scratch\nCOPY --from=a / /\n");
    let draw = "plugin graph --format svg builtin:dockerfile .";
    let svg = kiln_in(&kiln, &project, draw).ok().text();
    assert!(
        svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );
    assert!(svg.contains("COPY &lt;b&gt; /") && !svg.contains("<b>"), "{svg}");
    assert_eq!(svg.matches("<rect ").count(), svg.matches("<title>").count());
    assert!(svg.contains("<path d=\"M"), "{svg}");
    assert_eq!(svg, kiln_in(&kiln, &project, draw).ok().text());
}
