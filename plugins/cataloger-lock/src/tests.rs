use super::*;
use kiln_sdk::mock;
use kiln_sdk::packages::matched;

fn check(name: &str, text: &str, expect: &[&str]) {
    let found = Lock::catalog(vec![matched(name, &format!("app/{name}"), text.as_bytes())]).unwrap();
    let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
    assert_eq!(purls, expect, "{name}: {text}");
}

#[test]
fn rust_and_python_in_toml() {
    let cargo = "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"libc\",\n]\n\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nsource = \"registry+x\"\n\n[metadata]\nname = \"no\"\nversion = \"1\"\n";
    check(
        "Cargo.lock",
        cargo,
        &["pkg:cargo/app@0.1.0", "pkg:cargo/libc@0.2.1"],
    );
    let poetry = "[[package]]\nname = \"Zope.Interface\"\nversion = \"6.0\"\n[package.dependencies]\nname = \"no\"\n[package.extras]\nversion = \"9\"\n";
    check("poetry.lock", poetry, &["pkg:pypi/zope-interface@6.0"]);
    let uv = "version = 1\n[[package]]\nname = \"app\"\nversion = \"0\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\nsource = { registry = \"x\" }\n";
    check("uv.lock", uv, &["pkg:pypi/idna@3.4"]);
}

#[test]
fn python_otherwise() {
    let text = "# pins\nrequests[socks]==2.31.0 ; python_version > '3' \\\n    --hash=sha256:00\nurllib3>=1\nA_b===1.0+local # why\n-r other==1.txt\nc==$VERSION\nd == 2\n";
    let expect = [
        "pkg:pypi/requests@2.31.0",
        "pkg:pypi/a-b@1.0%2Blocal",
        "pkg:pypi/d@2",
    ];
    check("requirements*.txt", text, &expect);
    let text = r#"{"_meta":{},"default":{"idna":{"version":"==3.4"},"x":{"git":"y"}},"develop":{"pytest":{"version":"==8.0"}}}"#;
    check(
        "Pipfile.lock",
        text,
        &["pkg:pypi/idna@3.4", "pkg:pypi/pytest@8.0"],
    );
}

#[test]
fn npm_of_all_versions() {
    let one = r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"@b/c":{"version":"2.0.0"}}},"alias":{"version":"npm:real@3.0.0"},"folder":{"version":"file:x"}}}"#;
    let expect = ["pkg:npm/a@1.0.0", "pkg:npm/real@3.0.0", "pkg:npm/%40b/c@2.0.0"];
    check("package-lock.json", one, &expect);
    let three = r#"{"lockfileVersion":3,"packages":{"":{"version":"1"},"node_modules/a":{"version":"1.0.0"},"node_modules/a/node_modules/@b/c":{"version":"2.0.0"},"node_modules/w":{"link":true,"resolved":"w"},"w":{"version":"9"},"node_modules/alias":{"name":"real","version":"3.0.0"}}}"#;
    let expect = ["pkg:npm/a@1.0.0", "pkg:npm/%40b/c@2.0.0", "pkg:npm/real@3.0.0"];
    let mut found = Lock::catalog(vec![matched(
        "package-lock.json",
        "package-lock.json",
        three.as_bytes(),
    )])
    .unwrap();
    found.sort_by_key(|package| package.version.clone());
    let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
    assert_eq!(purls, expect);
}

#[test]
fn yarn_and_pnpm() {
    let classic = "# yarn lockfile v1\n\n\"@b/c@^2\", \"@b/c@~2.0\":\n  version \"2.0.0\"\n  resolved \"x\"\n  dependencies:\n    version \"^9\"\n\na@^1:\n  version \"1.0.0\"\n";
    check("yarn.lock", classic, &["pkg:npm/%40b/c@2.0.0", "pkg:npm/a@1.0.0"]);
    let berry = "__metadata:\n  version: 6\n\n\"a@npm:^1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n\n\"alias@npm:real@^3\":\n  version: 3.0.0\n  resolution: \"real@npm:3.0.0\"\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n";
    check("yarn.lock", berry, &["pkg:npm/a@1.0.0", "pkg:npm/real@3.0.0"]);
    for packages in [
        "  /a/1.0.0:\n    resolution: {}\n  /@b/c/2.0.0_x@1:\n    dev: true\n",
        "  /a@1.0.0:\n  /@b/c@2.0.0(x@1):\n",
        "  a@1.0.0:\n  '@b/c@2.0.0':\n",
    ] {
        let text = format!(
            "lockfileVersion: 9\nimporters:\n  no@1.0.0:\npackages:\n\n{packages}\nsnapshots:\n  no@2.0.0: {{}}\n"
        );
        // A peer behind `_` in the oldest form has an `@` too.
        let text = text.replace("_x@1", "_x");
        check(
            "pnpm-lock.yaml",
            &text,
            &["pkg:npm/a@1.0.0", "pkg:npm/%40b/c@2.0.0"],
        );
    }
}

#[test]
fn others() {
    let gems = "GEM\n  remote: https://example.com/\n  specs:\n    rack (2.2.4)\n      base64 (>= 1)\n    nokogiri (1.15.0-x86_64-linux)\n\nPLATFORMS\n  ruby (1)\n\nDEPENDENCIES\n    rack (= 1)\n";
    check(
        "Gemfile.lock",
        gems,
        &["pkg:gem/rack@2.2.4", "pkg:gem/nokogiri@1.15.0-x86_64-linux"],
    );
    let composer = r#"{"packages":[{"name":"psr/Log","version":"3.0.0"}],"packages-dev":[{"name":"a/b","version":"1"}]}"#;
    check(
        "composer.lock",
        composer,
        &["pkg:composer/psr/log@3.0.0", "pkg:composer/a/b@1"],
    );
    let go = "module example.com/app\n\ngo 1.21\n\nrequire github.com/A/b v1.0.0\nrequire (\n\tgolang.org/x/sys v0.1.0 // indirect\n)\nreplace x => y v1\n";
    check(
        "go.mod",
        go,
        &[
            "pkg:golang/github.com/a/b@v1.0.0",
            "pkg:golang/golang.org/x/sys@v0.1.0",
        ],
    );
}

#[test]
fn damage_is_told() {
    for (name, _, read) in FILES {
        for text in [
            "",
            "{",
            "[",
            "\u{ff}\u{0}",
            "\n\n:",
            "@",
            "  :",
            "packages:\n  /:\n  @\n",
            "a@\n  version\n",
            "==",
            "require  v",
            "(",
            "{}",
        ] {
            let _ = read(text);
            let _ = Lock::catalog(vec![matched(name, name, text.as_bytes())]).unwrap();
        }
    }
    drop(mock::warnings());
    check("package-lock.json", "{\"packages\":", &[]);
    check("pnpm-lock.yaml", "no: lock", &[]);
    check("Cargo.lock", "no lock", &[]);
    assert_eq!(mock::warnings().len(), 3);
}
