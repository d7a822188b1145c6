//! `kiln plugin new`: starts a project. It has the contract in it and needs nothing of kiln's own but the command.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

use super::print;
use crate::args::ArgError;
use crate::exit::Failure;

/// What `kiln plugin new` takes.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Name of the plugin and of its folder
    #[arg(value_name = "NAME")]
    name: String,
    /// What it does
    #[arg(long, value_enum, default_value = "frontend")]
    kind: Kind,
    /// Language that it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// Folder to make [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Frontend,
    Cataloger,
    Scanner,
    Cache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Python,
    Javascript,
    C,
    /// Refused, with the reason
    #[value(hide = true)]
    Go,
}

/// Why there is no project in Go.
const GO: &str = "there is no template in Go: its compiler makes modules for WASI's first preview, which need an adapter, \
                  and its bindings come from Go's module proxy";

macro_rules! files {
    ($($to:literal = $from:literal),* $(,)?) => {
        &[$(($to, include_str!(concat!("../../../../../", $from)))),*]
    };
}

type Files = &'static [(&'static str, &'static str)];

const WIT: Files = files! {
    "wit/cache.wit" = "wit/cache.wit",
    "wit/content.wit" = "wit/content.wit",
    "wit/frontend.wit" = "wit/frontend.wit",
    "wit/graph.wit" = "wit/graph.wit",
    "wit/sbom.wit" = "wit/sbom.wit",
    "wit/types.wit" = "wit/types.wit",
};
const COMMON: Files = files! {
    "README.md" = "sdk/templates/frontend/README.md",
    "tests/hello/input/image.yaml" = "sdk/templates/frontend/image.yaml",
    "tests/hello/input/hello.sh" = "sdk/templates/frontend/hello.sh",
    "tests/hello/expected.txt" = "sdk/templates/frontend/expected.txt",
};
const RUST: Files = files! {
    "plugin.toml" = "sdk/templates/frontend/rust/plugin.toml",
    "Cargo.toml" = "sdk/templates/frontend/rust/Cargo.toml.in",
    "src/lib.rs" = "sdk/templates/frontend/rust/lib.rs",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};
const PYTHON: Files = files! {
    "plugin.toml" = "sdk/templates/frontend/python/plugin.toml",
    "app.py" = "sdk/templates/frontend/python/app.py",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};
const JAVASCRIPT: Files = files! {
    "plugin.toml" = "sdk/templates/frontend/javascript/plugin.toml",
    "package.json" = "sdk/templates/frontend/javascript/package.json",
    "app.js" = "sdk/templates/frontend/javascript/app.js",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};

const C: Files = files! {
    "plugin.toml" = "sdk/templates/frontend/c/plugin.toml",
    "plugin.c" = "sdk/templates/frontend/c/plugin.c",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};

const CATALOGER: Files = files! {
    "README.md" = "sdk/templates/cataloger/README.md",
    "tests/hello/input/third_party/vendored.txt" = "sdk/templates/cataloger/vendored.txt",
    "tests/hello/expected.txt" = "sdk/templates/cataloger/expected.txt",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};
const CATALOGER_RUST: Files = files! {
    "plugin.toml" = "sdk/templates/cataloger/rust/plugin.toml",
    "Cargo.toml" = "sdk/templates/frontend/rust/Cargo.toml.in",
    "src/lib.rs" = "sdk/templates/cataloger/rust/lib.rs",
};
const CATALOGER_PYTHON: Files = files! {
    "plugin.toml" = "sdk/templates/cataloger/python/plugin.toml",
    "app.py" = "sdk/templates/cataloger/python/app.py",
};
const CATALOGER_JAVASCRIPT: Files = files! {
    "plugin.toml" = "sdk/templates/cataloger/javascript/plugin.toml",
    "package.json" = "sdk/templates/frontend/javascript/package.json",
    "app.js" = "sdk/templates/cataloger/javascript/app.js",
};
const CATALOGER_C: Files = files! {
    "plugin.toml" = "sdk/templates/cataloger/c/plugin.toml",
    "plugin.c" = "sdk/templates/cataloger/c/plugin.c",
};
const SCANNER: Files = files! {
    "README.md" = "sdk/templates/scanner/README.md",
    "tests/hello/input/third_party/vendored.txt" = "sdk/templates/cataloger/vendored.txt",
    "tests/hello/expected.txt" = "sdk/templates/cataloger/expected.txt",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};
const SCANNER_RUST: Files = files! {
    "plugin.toml" = "sdk/templates/scanner/rust/plugin.toml",
    "Cargo.toml" = "sdk/templates/frontend/rust/Cargo.toml.in",
    "src/lib.rs" = "sdk/templates/scanner/rust/lib.rs",
};
const SCANNER_PYTHON: Files = files! {
    "plugin.toml" = "sdk/templates/scanner/python/plugin.toml",
    "app.py" = "sdk/templates/scanner/python/app.py",
};
const SCANNER_JAVASCRIPT: Files = files! {
    "plugin.toml" = "sdk/templates/scanner/javascript/plugin.toml",
    "package.json" = "sdk/templates/frontend/javascript/package.json",
    "app.js" = "sdk/templates/scanner/javascript/app.js",
};
const SCANNER_C: Files = files! {
    "plugin.toml" = "sdk/templates/scanner/c/plugin.toml",
    "plugin.c" = "sdk/templates/scanner/c/plugin.c",
};
const CACHE: Files = files! {
    "README.md" = "sdk/templates/cache/README.md",
    "tests/hello/input/config.txt" = "sdk/templates/cache/config.txt",
    "tests/hello/expected.txt" = "sdk/templates/cache/expected.txt",
    ".gitignore" = "sdk/templates/frontend/gitignore",
};
const CACHE_RUST: Files = files! {
    "plugin.toml" = "sdk/templates/cache/rust/plugin.toml",
    "Cargo.toml" = "sdk/templates/frontend/rust/Cargo.toml.in",
    "src/lib.rs" = "sdk/templates/cache/rust/lib.rs",
};
const CACHE_PYTHON: Files = files! {
    "plugin.toml" = "sdk/templates/cache/python/plugin.toml",
    "app.py" = "sdk/templates/cache/python/app.py",
};
const CACHE_JAVASCRIPT: Files = files! {
    "plugin.toml" = "sdk/templates/cache/javascript/plugin.toml",
    "package.json" = "sdk/templates/frontend/javascript/package.json",
    "app.js" = "sdk/templates/cache/javascript/app.js",
};
const CACHE_C: Files = files! {
    "plugin.toml" = "sdk/templates/cache/c/plugin.toml",
    "plugin.c" = "sdk/templates/cache/c/plugin.c",
};

/// Returns the files of a project beside the contract.
fn parts(kind: Kind, language: Language) -> Option<[Files; 2]> {
    Some(match (kind, language) {
        (_, Language::Go) => return None,
        (Kind::Frontend, Language::Rust) => [COMMON, RUST],
        (Kind::Frontend, Language::Python) => [COMMON, PYTHON],
        (Kind::Frontend, Language::Javascript) => [COMMON, JAVASCRIPT],
        (Kind::Frontend, Language::C) => [COMMON, C],
        (Kind::Cataloger, Language::Rust) => [CATALOGER, CATALOGER_RUST],
        (Kind::Cataloger, Language::Python) => [CATALOGER, CATALOGER_PYTHON],
        (Kind::Cataloger, Language::Javascript) => [CATALOGER, CATALOGER_JAVASCRIPT],
        (Kind::Cataloger, Language::C) => [CATALOGER, CATALOGER_C],
        (Kind::Scanner, Language::Rust) => [SCANNER, SCANNER_RUST],
        (Kind::Scanner, Language::Python) => [SCANNER, SCANNER_PYTHON],
        (Kind::Scanner, Language::Javascript) => [SCANNER, SCANNER_JAVASCRIPT],
        (Kind::Scanner, Language::C) => [SCANNER, SCANNER_C],
        (Kind::Cache, Language::Rust) => [CACHE, CACHE_RUST],
        (Kind::Cache, Language::Python) => [CACHE, CACHE_PYTHON],
        (Kind::Cache, Language::Javascript) => [CACHE, CACHE_JAVASCRIPT],
        (Kind::Cache, Language::C) => [CACHE, CACHE_C],
    })
}

pub(super) fn run(args: &NewArgs) -> Result<u8, Failure> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !args.name.starts_with(|c: char| c.is_ascii_lowercase()) || !args.name.chars().all(allowed) {
        return Err(ArgError::value("NAME", &args.name, "small letters, digits and dashes").into());
    }
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(ArgError::new(format!(
            "`{}` is there already and is not empty",
            folder.display()
        ))
        .into());
    }
    let parts = parts(args.kind, args.lang)
        .ok_or_else(|| ArgError::new(GO).hint("there are templates in rust, python, javascript and c"))?;
    for (name, text) in [WIT, &parts.concat()].concat() {
        write(&folder.join(name), &text.replace("PLUGIN_NAME", &args.name))?;
    }
    let next = format!(
        "{}\n\nnext:\n  cd {0}\n  kiln plugin build\n  {}\n",
        folder.display(),
        match args.kind {
            Kind::Frontend => format!("kiln plugin test ./{}.wasm --file image.yaml", args.name),
            Kind::Cataloger | Kind::Scanner | Kind::Cache => {
                format!("kiln plugin test ./{}.wasm", args.name)
            }
        }
    );
    print(&next)?;
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = parent.and_then(|()| std::fs::write(path, text));
    written.map_err(|e| Failure::io(&format!("write `{}`", path.display()), &e))
}
