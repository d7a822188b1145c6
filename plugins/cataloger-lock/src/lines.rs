//! Lock files that are read line by line. All but requirements are written by programs, always in the same form.

use crate::Pinned;

type Found = Result<Vec<Pinned>, String>;

/// Returns a value without its quotes.
fn bare(value: &str) -> &str {
    let quotes: &[char] = &['"', '\''];
    value.trim().trim_matches(quotes)
}

/// Cargo, Poetry, PDM, uv: a `[[package]]` with `name = "…"` and `version = "…"`.
pub(crate) fn toml(content: &str) -> Found {
    let (mut found, mut inside) = (Vec::new(), false);
    let mut current: Pinned = Pinned::default();
    for line in content.lines().chain(["[end]"]) {
        if line.starts_with('[') {
            let (name, version) = std::mem::take(&mut current);
            if inside && !name.is_empty() && !version.is_empty() {
                found.push((name, version));
            }
            inside = line.trim() == "[[package]]";
            continue;
        }
        match line.split_once(" = ").filter(|_| inside) {
            Some(("name", value)) => current.0 = bare(value).to_owned(),
            Some(("version", value)) => current.1 = bare(value).to_owned(),
            // The project itself.
            Some(("source", value)) if value.contains("virtual =") || value.contains("editable =") => {
                inside = false;
            }
            _ => {}
        }
    }
    match found.is_empty() && !content.contains("version = ") && !content.trim().is_empty() {
        true => Err("it is no lock file in TOML".to_owned()),
        false => Ok(found),
    }
}

/// `name==1.2 ; marker --hash=…`; what is not pinned is not known.
pub(crate) fn requirements(content: &str) -> Found {
    let pinned = content.lines().filter_map(|line| {
        let line = line.split(" #").next().unwrap_or(line);
        let line = line.split([';', '\\']).next().unwrap_or(line);
        let line = line.split(" --").next().unwrap_or(line);
        let (name, version) = line.split_once("==")?;
        let version = version.trim_start_matches('=').trim();
        let name = name.split('[').next().unwrap_or(name).trim();
        let plain = |text: &str, more: &[u8]| {
            let is = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            !text.is_empty() && text.bytes().all(is)
        };
        let known = plain(name, b"-_.") && plain(version, b"-_.+!");
        known.then(|| (name.to_owned(), version.to_owned()))
    });
    Ok(pinned.collect())
}

/// Both yarns: names at the start of a line, the version below.
pub(crate) fn yarn(content: &str) -> Found {
    let (mut found, mut name) = (Vec::new(), None);
    let mut version = "";
    for line in content.lines().chain(["end:"]) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            if let Some(name) = name.take().filter(|_| !version.is_empty()) {
                found.push((name, version.to_owned()));
            }
            version = "";
            name = yarn_name(line);
        } else if let Some(rest) = line.strip_prefix("  version") {
            version = bare(rest.trim_start_matches(':'));
        } else if let Some(rest) = line.strip_prefix("  resolution: ") {
            // The package's own name, if it has an alias; projects of the workspace are not packages.
            name = yarn_name(bare(rest)).filter(|_| !rest.contains("@workspace:"));
        }
    }
    Ok(found)
}

/// `"@scope/name@npm:^1, name@^2":`.
fn yarn_name(line: &str) -> Option<String> {
    let line = line.trim_end_matches(':');
    let first = bare(line.split(',').next()?);
    let first = bare(first);
    let at = first.get(1..)?.find('@')? + 1;
    let (name, range) = first.split_at(at);
    // Under an alias: `name@npm:other@1`.
    let alias = range
        .strip_prefix("@npm:")
        .and_then(|other| other.get(1..)?.find('@').map(|at| &other[..=at]));
    Some(alias.unwrap_or(name).to_owned())
}

/// `packages:` of pnpm: `/a/1.0.0:`, `/a@1.0.0(peer@1):`, `a@1.0.0:`.
pub(crate) fn pnpm(content: &str) -> Found {
    let (mut found, mut inside, mut any) = (Vec::new(), false, false);
    for line in content.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            inside = line.trim() == "packages:";
            any |= line.starts_with("lockfileVersion:");
            continue;
        }
        let key = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        let Some(key) = key.filter(|_| inside) else {
            continue;
        };
        let key = bare(key.trim_end().trim_end_matches(':').trim_end_matches(" {}"));
        let key = key.strip_prefix('/').unwrap_or(key);
        let key = key.split('(').next().unwrap_or(key);
        let split = match key.get(1..).and_then(|rest| rest.rfind('@')) {
            Some(at) => Some((&key[..=at], &key[at + 2..])),
            None => key.rsplit_once('/'),
        };
        if let Some((name, version)) = split
            && version.starts_with(|c: char| c.is_ascii_digit())
        {
            let version = version.split('_').next().unwrap_or(version);
            found.push((name.to_owned(), version.to_owned()));
        }
    }
    match any || content.trim().is_empty() {
        true => Ok(found),
        false => Err("it has no `lockfileVersion`".to_owned()),
    }
}

/// `    name (1.0)` below `specs:`.
pub(crate) fn gems(content: &str) -> Found {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in content.lines() {
        if !line.starts_with(' ') {
            inside = matches!(line.trim(), "GEM" | "GIT");
        }
        let spec = line
            .strip_prefix("    ")
            .filter(|rest| inside && !rest.starts_with(' '));
        if let Some((name, version)) = spec.and_then(|spec| spec.split_once(" (")) {
            found.push((name.to_owned(), version.trim_end_matches(')').to_owned()));
        }
    }
    Ok(found)
}

/// `require a v1` alone and in brackets.
pub(crate) fn go(content: &str) -> Found {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in content.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        let module = match line {
            "require (" => {
                inside = true;
                continue;
            }
            ")" => {
                inside = false;
                continue;
            }
            line if inside => line,
            line => line.strip_prefix("require ").unwrap_or_default(),
        };
        if let Some((path, version)) = module.split_once(' ')
            && version.starts_with('v')
        {
            found.push((path.to_owned(), version.trim().to_owned()));
        }
    }
    Ok(found)
}
