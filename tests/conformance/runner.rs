//! Runs one case: its steps in order on a store of its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Outcome;
use serde_json::Value;

use crate::base::Base;
use crate::case::Case;
use crate::case::Step;
use crate::check;
use crate::check::Checked;
use crate::check::expect;
use crate::context;

/// Longest that a step may take where the case does not say.
const PATIENCE: u64 = 60;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    /// Refused as not supported yet.
    NotYet(String),
    /// This machine cannot tell; why.
    NotHere(String),
}

/// A case that runs.
struct Run<'a> {
    base: &'a Base,
    kiln: Kiln,
    /// Stores of earlier steps.
    pruned: Vec<Kiln>,
    /// Directory with the contexts and outputs.
    dir: PathBuf,
    context: PathBuf,
    dockerfiles: PathBuf,
    /// Digest of the image of each step that had a layout.
    digests: Vec<String>,
}

/// Runs a case. `keep` leaves its directory there and prints where.
pub(crate) fn run(case: &Case, base: &Base, keep: bool) -> Verdict {
    let kiln = Kiln::copy_of(&base.store);
    let dir = kiln.path("case");
    let mut run = Run {
        base,
        context: dir.join("context-0"),
        dockerfiles: dir.join("context-0"),
        dir,
        kiln,
        pruned: Vec::new(),
        digests: Vec::new(),
    };
    let mut verdict = Verdict::Passed;
    for (at, step) in case.steps.iter().enumerate() {
        if let Some(reason) = not_here(&case.verified, at) {
            verdict = Verdict::NotHere(reason);
            break;
        }
        if let Err(difference) = run.step(at, step) {
            let name = if step.label.is_empty() {
                String::new()
            } else {
                format!(" ({})", step.label)
            };
            verdict = match difference {
                Verdict::Failed(text) => Verdict::Failed(format!("step {at}{name}: {text}")),
                other => other,
            };
            break;
        }
    }
    if keep {
        println!("kept: {}", run.kiln.keep().display());
    }
    verdict
}

/// Returns why a step cannot be checked on this machine, where the data say what it needs.
fn not_here(verified: &str, step: usize) -> Option<String> {
    let concerns =
        verified.starts_with("not verifiable") || verified.contains(&format!("step {step} not verifiable"));
    if !concerns {
        return None;
    }
    if verified.contains("cgroup v2") {
        let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        return (!controllers.contains("memory"))
            .then(|| "needs cgroup v2 with the memory controller".to_owned());
    }
    if verified.contains("CAP_SYS_RESOURCE") {
        const SYS_RESOURCE: u64 = 1 << 24;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        let bounding = bounding
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or_default();
        return (bounding & SYS_RESOURCE == 0).then(|| "needs CAP_SYS_RESOURCE".to_owned());
    }
    Some(verified.to_owned())
}

impl Run<'_> {
    fn step(&mut self, at: usize, step: &Step) -> Result<(), Verdict> {
        let failed = |text: String| Verdict::Failed(text);
        self.directories(at, step)
            .map_err(|e| failed(format!("cannot write the context: {e}")))?;
        if step.prune_before {
            // The one before holds the case's directory.
            let pruned = std::mem::replace(&mut self.kiln, Kiln::copy_of(&self.base.store));
            self.pruned.push(pruned);
        }
        let args = self.args(at, step);
        let time = Duration::from_secs(step.timeout_s.unwrap_or(PATIENCE));
        let outcome = self.kiln.run_for(&args, time);
        let said = outcome.all();
        std::fs::write(self.dir.join(format!("said-{at}")), outcome.report())
            .map_err(|e| failed(e.to_string()))?;
        if outcome.status.is_none() {
            return Err(failed(format!("not done after {time:?}")));
        }
        let wants_ok = step.expect == "ok";
        if wants_ok && outcome.code() != Some(0) {
            return Err(match first_line_with(&said, "not supported yet") {
                Some(line) => Verdict::NotYet(line),
                None => failed(
                    first_line_with(&said, "error:")
                        .unwrap_or_else(|| format!("exit code {:?}", outcome.code())),
                ),
            });
        }
        if wants_ok {
            self.good(at, step, &outcome).map_err(failed)
        } else {
            Self::bad(step, &outcome).map_err(failed)
        }
    }

    fn directories(&mut self, at: usize, step: &Step) -> std::io::Result<()> {
        if let Some(items) = &step.context {
            self.context = self.dir.join(format!("context-{at}"));
            self.dockerfiles.clone_from(&self.context);
            context::write(&self.context, items)?;
        }
        context::write(&self.context, &step.context_changes)?;
        if let Some(items) = &step.dockerfile_dir {
            self.dockerfiles = self.dir.join(format!("dockerfile-{at}"));
            context::write(&self.dockerfiles, items)?;
        }
        for (name, items) in &step.extra_dirs {
            context::write(&self.dir.join(name), items)?;
        }
        step.secrets
            .iter()
            .try_for_each(|(id, value)| std::fs::write(self.dir.join(format!("secret-{id}")), value))
    }

    fn out(&self, at: usize) -> PathBuf {
        self.dir.join(format!("out-{at}"))
    }

    fn layout_path(&self, at: usize) -> PathBuf {
        self.dir.join(format!("layout-{at}"))
    }

    fn args(&self, at: usize, step: &Step) -> Vec<String> {
        let wants_names =
            !(step.progress_vertex_names.is_empty() && step.progress_vertex_contains.is_empty());
        let mode = if wants_names { "rawjson" } else { "plain" };
        let mut args = vec!["build".to_owned(), format!("--progress={mode}")];
        let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
        let dockerfile = step.dockerfile.as_deref().unwrap_or("Dockerfile");
        add("--file", self.dockerfiles.join(dockerfile).display().to_string());
        step.args
            .iter()
            .for_each(|(key, value)| add("--build-arg", format!("{key}={value}")));
        step.labels
            .iter()
            .for_each(|(key, value)| add("--label", format!("{key}={value}")));
        step.target
            .iter()
            .for_each(|target| add("--target", target.clone()));
        if !step.platforms.is_empty() {
            add("--platform", step.platforms.join(","));
        }
        for id in step.secrets.keys() {
            add(
                "--secret",
                format!("id={id},src={}", self.dir.join(format!("secret-{id}")).display()),
            );
        }
        step.contexts
            .iter()
            .for_each(|(name, value)| add("--build-context", format!("{name}={}", self.named(value))));
        step.entitlements
            .iter()
            .for_each(|name| add("--allow", name.clone()));
        for (flag, caches) in [("--cache-to", &step.cache_to), ("--cache-from", &step.cache_from)] {
            caches.iter().for_each(|cache| add(flag, self.cache(cache)));
        }
        self.outputs(at, step)
            .into_iter()
            .for_each(|output| add("--output", output));
        for (key, value) in &step.opts {
            match (key.as_str(), value.as_str()) {
                ("no-cache", "") => args.push("--no-cache".to_owned()),
                ("no-cache", stages) => args.push(format!("--no-cache-filter={stages}")),
                ("hostname", name) => args.push(format!("--build-arg=BUILDKIT_SANDBOX_HOSTNAME={name}")),
                (flag, value) => args.push(format!("--{flag}={value}")),
            }
        }
        args.push(self.context.display().to_string());
        args
    }

    /// Returns the outputs of a step: what it names, and what its checks need.
    fn outputs(&self, at: usize, step: &Step) -> Vec<String> {
        let kind = step.export.as_deref();
        let attrs: String = step
            .export_attrs
            .iter()
            .map(|(key, value)| format!(",{key}={value}"))
            .collect();
        let mut outputs = Vec::new();
        if let Some(name) = &step.save_image_as {
            outputs.push(format!("type=image,name={name}"));
        }
        if matches!(kind, Some("oci" | "image")) || !step.config.is_empty() {
            outputs.push(format!(
                "type=oci,tar=false,dest={}{attrs}",
                self.layout_path(at).display()
            ));
        }
        let wants_files = !step.files.is_empty() || !step.compare.is_empty() || step.only_files.is_some();
        if kind == Some("tar") {
            outputs.push(format!("type=tar,dest={}.tar{attrs}", self.out(at).display()));
        } else if wants_files {
            outputs.push(format!("type=local,dest={}", self.out(at).display()));
        }
        if outputs.is_empty() {
            outputs.push("type=cacheonly".to_owned());
        }
        outputs
    }

    /// Returns a named context as the command line wants it.
    fn named(&self, value: &str) -> String {
        if let Some(dir) = value.strip_prefix("local:") {
            return self.dir.join(dir).display().to_string();
        }
        let Some(layout) = value.strip_prefix("oci-layout:") else {
            return value.to_owned();
        };
        let (name, digest) = layout.split_once('@').unwrap_or((layout, ""));
        let step: usize = digest
            .chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap_or_default();
        let digest = self.digests.get(step).map_or(digest, String::as_str);
        format!("oci-layout://{}@{digest}", self.dir.join(name).display())
    }

    fn cache(&self, fields: &std::collections::BTreeMap<String, String>) -> String {
        let field = |(key, value): (&String, &String)| {
            let is_path = matches!(key.as_str(), "dest" | "src");
            let value = if is_path {
                self.dir.join(value).display().to_string()
            } else {
                value.clone()
            };
            format!("{key}={value}")
        };
        fields.iter().map(field).collect::<Vec<_>>().join(",")
    }

    fn bad(step: &Step, outcome: &Outcome) -> Checked {
        let said = outcome.all();
        expect(outcome.code() == Some(1), || {
            format!("exit code {:?} instead of 1", outcome.code())
        })?;
        for part in &step.error_contains {
            expect(said.contains(part), || {
                format!("the error does not contain `{part}`: {}", last_error(&said))
            })?;
        }
        if let Some(pattern) = &step.error_regex {
            let regex = regex_lite::Regex::new(pattern).map_err(|e| e.to_string())?;
            expect(regex.is_match(&said), || {
                format!("the error does not match `{pattern}`: {}", last_error(&said))
            })?;
        }
        step.error_source
            .as_ref()
            .map_or(Ok(()), |source| check::source(&said, source))
    }

    fn good(&mut self, at: usize, step: &Step, outcome: &Outcome) -> Checked {
        let out = self.out(at);
        if step.export.as_deref() == Some("tar") {
            let file = std::fs::File::open(out.with_extension("tar")).map_err(|e| e.to_string())?;
            tar::Archive::new(file)
                .unpack(&out)
                .map_err(|e| format!("the tar cannot be unpacked: {e}"))?;
        }
        step.files
            .iter()
            .try_for_each(|file| check::file(&out, file, &self.context))?;
        if let Some(wanted) = &step.only_files {
            let listing = std::fs::read_dir(&out).map_err(|e| e.to_string())?.flatten();
            let mut found: Vec<String> = listing
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            expect(found == *wanted, || {
                format!("files are {found:?}, not {wanted:?}")
            })?;
        }
        for compare in &step.compare {
            let read =
                |step: usize| std::fs::read(self.out(step).join(&compare.path)).map_err(|e| e.to_string());
            let are_equal = read(at)? == read(compare.with_step)?;
            let how = if compare.equal {
                "ran again"
            } else {
                "did not run again"
            };
            expect(are_equal == compare.equal, || {
                format!("`{}`: the step {how}", compare.path)
            })?;
        }
        names(step, &outcome.all())?;
        let place = self.layout_path(at);
        let digest = if place.exists() {
            self.layout(step, &place)?
        } else {
            String::new()
        };
        self.digests.push(digest);
        match &step.save_layout_as {
            Some(name) => std::fs::rename(&place, self.dir.join(name)).map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    /// Checks the images of a layout and returns the digest of the first.
    fn layout(&self, step: &Step, place: &Path) -> Result<String, String> {
        let layout = Layout::open(place);
        let images = layout.images();
        let first = images.first().ok_or("the layout has no image")?;
        step.config
            .iter()
            .try_for_each(|(path, value)| check::config(&first.config, path, value))?;
        for (platform, wanted) in &step.config_by_platform {
            let image = images.iter().find(|image| image.platform == *platform);
            check::platform(image.ok_or_else(|| format!("no image for {platform}"))?, wanted)?;
        }
        for (platform, files) in &step.layer_files_by_platform {
            let image = images.iter().find(|image| image.platform == *platform);
            let image = image.ok_or_else(|| format!("no image for {platform}"))?;
            for file in files {
                let found = layout
                    .file(image, &file.path)
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                expect(found == file.content, || {
                    format!("`{}` for {platform} is {found:?}", file.path)
                })?;
            }
        }
        step.index
            .as_ref()
            .map_or(Ok(()), |wanted| check::index(&layout, &images, wanted))?;
        step.layers
            .as_ref()
            .map_or(Ok(()), |wanted| check::layers(first, wanted))?;
        let history = step.history_after_base.as_ref();
        history.map_or(Ok(()), |wanted| check::history(first, self.base.history, wanted))?;
        let over = layout.layers(first).len().saturating_sub(self.base.layers);
        let wanted = step.layers_over_base;
        expect(wanted.is_none_or(|wanted| wanted == over), || {
            format!("{over} layers over the base's")
        })?;
        Ok(first.digest.clone())
    }
}

/// Checks names of steps in the progress stream.
fn names(step: &Step, said: &str) -> Checked {
    let statuses = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let vertexes = statuses.flat_map(|status| status["vertexes"].as_array().cloned().unwrap_or_default());
    let names: Vec<String> = vertexes
        .filter_map(|vertex| vertex["name"].as_str().map(str::to_owned))
        .collect();
    for wanted in &step.progress_vertex_names {
        expect(names.contains(wanted), || {
            format!("no step is named `{wanted}`: {names:?}")
        })?;
    }
    for wanted in &step.progress_vertex_contains {
        expect(names.iter().any(|name| name.contains(wanted)), || {
            format!("no step's name contains `{wanted}`: {names:?}")
        })?;
    }
    Ok(())
}

fn first_line_with(said: &str, what: &str) -> Option<String> {
    said.lines()
        .find(|line| line.contains(what))
        .map(|line| line.trim().to_owned())
}

fn last_error(said: &str) -> String {
    said.lines()
        .rev()
        .find(|line| line.starts_with("error"))
        .unwrap_or("there is no error")
        .to_owned()
}

/// Returns whether the tests run as root: the cases are those of a rootful build.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
