//! Base images: what FROM, COPY --from and mounts name that is no stage.

use super::Lowerer;
use super::names::StepText;
use super::stage::Kind;
use super::stage::NamedContext;
use super::stage::Progress;
use super::stage::State;
use crate::api::Platform;
use crate::api::ResolvedImage;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::graph::Meta;
use crate::host::ImageQuestion;
use crate::image::Image;
use crate::lint::Rule;
use crate::platform;
use crate::reference::Reference;
use crate::suggest;

/// The base that is nothing.
const SCRATCH: &str = "scratch";

impl Lowerer<'_> {
    /// Looks up what a stage without base stage starts from; where nobody needs it only its name is checked.
    pub(super) fn resolve_base(&mut self, at: usize, wanted: bool) -> Outcome<()> {
        let stage = &mut self.stages[at];
        if wanted {
            stage.progress = Progress::Resolved;
        }
        let only_read = stage.kind == Kind::Image;
        if stage.base_name == SCRATCH && stage.context.is_none() {
            stage.platform = Some(self.target.clone());
            stage.image = Image::scratch(&self.target);
            if only_read {
                stage.progress = Progress::Done;
            }
            return Ok(());
        }
        let span = stage.span;
        let done = self.resolve_named(at, wanted).map_err(|fault| fault.within(span));
        if only_read {
            self.stages[at].progress = Progress::Done;
        }
        done
    }

    fn resolve_named(&mut self, at: usize, wanted: bool) -> Outcome<()> {
        let written = self.stages[at].base_name.clone();
        let reference = Reference::parse(&written).map_err(|e| {
            Fault::new(format!(
                "failed to parse stage name {}: {e}",
                crate::go::quote(&written)
            ))
        })?;
        let reference = reference.with_default_tag();
        let stage = &self.stages[at];
        let platform = stage.platform.clone().unwrap_or_else(|| self.target.clone());
        if !wanted {
            self.stages[at].platform = Some(platform);
            return Ok(());
        }
        if let Some(context) = self.stages[at].context.clone() {
            return self.replace_stage(at, &context, &platform);
        }
        if let Some(context) = self.named_context(&reference.to_string(), Some(&platform))? {
            return self.replace_base(at, &context, &platform);
        }
        let image = self.ask_for(&written, &reference, &platform)?;
        self.start_from_image(at, reference, image, platform)
    }

    /// A named context stands in for a whole stage: its instructions are not run.
    fn replace_stage(&mut self, at: usize, context: &NamedContext, platform: &Platform) -> Outcome<()> {
        let loaded = self.load_context(context, platform, self.stages[at].paths)?;
        let stage = &mut self.stages[at];
        stage.progress = Progress::Done;
        stage.platform.get_or_insert_with(|| platform.clone());
        stage.state = loaded.state;
        if let Some((mut image, _)) = loaded.image {
            image.created = None;
            if !image.os.is_empty() && !image.architecture.is_empty() {
                stage.platform = Some(image.platform());
            }
            stage.image = image;
        }
        Ok(())
    }

    /// A named context stands in for the image of FROM.
    fn replace_base(&mut self, at: usize, context: &NamedContext, platform: &Platform) -> Outcome<()> {
        let loaded = self.load_context(context, platform, self.stages[at].paths)?;
        let stage = &mut self.stages[at];
        stage.state = loaded.state;
        let (mut image, config) = loaded.image.unwrap_or_else(|| {
            let image = Image::scratch(platform);
            let config = image.to_json();
            (image, config)
        });
        image.created = None;
        stage.image = image;
        stage.base_image = Some(config);
        stage.platform = Some(platform.clone());
        Ok(())
    }

    /// Pins an image by the name that FROM gives it.
    fn ask_for(&self, written: &str, reference: &Reference, platform: &Platform) -> Outcome<ResolvedImage> {
        let on = if self.options().multi_platform {
            format!("{} ", platform::format(platform))
        } else {
            String::new()
        };
        let question = ImageQuestion {
            identifier: &format!("docker-image://{reference}"),
            platform,
            mode: self.options().resolve_mode.name(),
            name: &format!("[{on}internal] load metadata for {reference}"),
        };
        self.session.resolve_image(&question).map_err(|e| {
            let mut names = self.stage_names();
            names.extend(common_images());
            Fault::new(suggest::add(format!("{written}: {e}"), written, &names))
        })
    }

    fn start_from_image(
        &mut self,
        at: usize,
        reference: Reference,
        answer: ResolvedImage,
        platform: Platform,
    ) -> Outcome<()> {
        let written = self.stages[at].base_name.clone();
        let mut image = Image::parse(&answer.config)
            .map_err(|e| Fault::new(format!("failed to parse image config: {e}")))?;
        image.created = None;
        let pinned = pin(reference, &answer).map_err(Fault::new)?;
        let empty = image.is_empty();
        if self.stages[at].kind == Kind::Stage {
            self.stages[at].base_image = Some(answer.config);
        }
        let actual = image.platform();
        let stage = &mut self.stages[at];
        stage.image = image;
        stage.platform = Some(platform.clone());
        stage.base_name.clone_from(&pinned);
        if empty {
            stage.state = State::default();
            return Ok(());
        }
        let text = StepText::new(format!("FROM {pinned}"), false);
        let name = self.step_name(at, &text, &Env::default());
        let meta = Meta {
            platform: Some(platform.clone()),
            name,
            spans: vec![self.session.span(self.stages[at].span)],
            ..Meta::default()
        };
        let attrs = self.image_attrs();
        let out = self
            .graph
            .source(format!("docker-image://{pinned}"), &attrs, meta);
        self.stages[at].state.out = Some(out);
        if actual.os != platform.os || actual.architecture != platform.architecture {
            let show = |p: Platform| crate::go::quote(&platform::format(&platform::normalize(p)));
            let (actual, expected) = (show(actual), show(platform));
            let message = format!(
                "Base image {written} was pulled with platform {actual}, expected {expected} for current build"
            );
            self.report(Rule::InvalidBaseImagePlatform, at, message);
        }
        Ok(())
    }

    /// Returns the attributes of every image source.
    pub(super) fn image_attrs(&self) -> Vec<(&'static str, String)> {
        match self.options().resolve_mode.name() {
            "" => Vec::new(),
            mode => vec![("image.resolvemode", mode.to_owned())],
        }
    }
}

/// Returns the reference with the digest that the host found.
pub(super) fn pin(reference: Reference, answer: &ResolvedImage) -> Result<String, String> {
    let text = answer
        .reference
        .strip_prefix("docker-image://")
        .unwrap_or(&answer.reference);
    let mut pinned = if text.is_empty() {
        reference
    } else {
        Reference::parse(text)?
    };
    if pinned.digest().is_none() && !answer.digest.is_empty() {
        pinned = pinned.with_digest(&answer.digest);
    }
    Ok(pinned.to_string())
}

/// Names that people mean when an image is not found.
fn common_images() -> Vec<String> {
    let names = [
        "alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora",
    ];
    names
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{name}:latest")])
        .collect()
}
