//! `--attest`, `--provenance` and `--sbom`, in buildx's spelling.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use kiln_attest::ProvenanceMode;
use kiln_attest::ProvenanceVersion;
use kiln_engine::AttestLayout;
use kiln_engine::Attestations;
use kiln_engine::ProvenanceOptions;
use kiln_engine::SbomFormat;
use kiln_engine::SbomOptions;
use kiln_export::Output;
use kiln_image::Platform;

use super::ArgError;
use super::request::Surroundings;

/// What is said of the image.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Attestations")]
pub(crate) struct AttestArgs {
    /// Attestation to make, type=provenance|sbom[,KEY=VALUE]; may be given several times
    #[arg(long = "attest", value_name = "SPEC")]
    attest: Vec<String>,
    /// Say how the image was built: true, false or mode=min|max[,version=v1|v0.2][,builder-id=URI]
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// Say what is in the image: true, false or generator=PATH[,format=spdx|cyclonedx|all][,required=true]
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// Write what is in the result to a file: SPDX 2.3, or CycloneDX 1.6 when it is called *.cdx.json or
    /// --sbom=format=cyclonedx says so
    #[arg(long, value_name = "FILE")]
    pub(crate) sbom_out: Option<PathBuf>,
    /// Where attestations go [default: into the index where there is one or one is asked for]
    #[arg(long, value_name = "LAYOUT", value_enum)]
    attest_layout: Option<Layout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// Into the index, as BuildKit puts them
    Index,
    /// Beside each image, as referrers
    Referrers,
}

type Fields = BTreeMap<String, String>;

impl AttestArgs {
    /// Returns the format of the file beside the result: its name decides, else what `--sbom` says.
    ///
    /// # Errors
    /// When `--sbom` is malformed.
    pub(crate) fn sidecar_format(&self, path: &Path) -> Result<SbomFormat, ArgError> {
        if let Some(format) = format_of(path) {
            return Ok(format);
        }
        let asked = self.given()?.remove("sbom").map(sbom).transpose()?.flatten();
        let first = asked.and_then(|options| options.formats.first().copied());
        Ok(first.unwrap_or(SbomFormat::Spdx))
    }

    /// Returns what is asked for. `BUILDX_NO_DEFAULT_ATTESTATIONS` turns the default, little provenance, off.
    ///
    /// # Errors
    /// When a field is unknown, given twice, or has a value that it does not take.
    pub(crate) fn read(&self, around: &Surroundings) -> Result<Attestations, ArgError> {
        let mut given = self.given()?;
        let mut attestations = Attestations {
            layout: match self.attest_layout {
                None => AttestLayout::Auto,
                Some(Layout::Index) => AttestLayout::Index,
                Some(Layout::Referrers) => AttestLayout::Referrers,
            },
            sidecar: self.sbom_out.is_some(),
            ..Attestations::default()
        };
        let by_default = around
            .env
            .get("BUILDX_NO_DEFAULT_ATTESTATIONS")
            .is_none_or(|value| boolean(value) != Some(true));
        attestations.provenance = match given.remove("provenance") {
            Some(fields) => provenance(fields)?,
            None => by_default.then(|| ProvenanceOptions {
                mode: ProvenanceMode::Min,
                inline_only: true,
                ..ProvenanceOptions::default()
            }),
        };
        if let Some(fields) = given.remove("sbom") {
            attestations.sbom = sbom(fields)?;
        }
        match given.keys().next() {
            None => Ok(attestations),
            Some(kind) => Err(ArgError::value("--attest type", kind, "provenance or sbom")),
        }
    }

    /// Returns the fields of each kind.
    fn given(&self) -> Result<BTreeMap<String, Fields>, ArgError> {
        let mut given = BTreeMap::new();
        for text in &self.attest {
            let mut fields = fields(text)?;
            let kind = fields.remove("type");
            let kind = kind.ok_or_else(|| ArgError::new("attestation type not specified"))?;
            add(&mut given, kind, fields)?;
        }
        for (kind, text) in [("provenance", &self.provenance), ("sbom", &self.sbom)] {
            if let Some(text) = text {
                add(&mut given, kind.to_owned(), shorthand(text)?)?;
            }
        }
        Ok(given)
    }
}

/// Tells a format by the name of a file, as other tools do.
pub(crate) fn format_of(path: &Path) -> Option<SbomFormat> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".spdx.json") {
        return Some(SbomFormat::Spdx);
    }
    (name.ends_with(".cdx.json") || name == "bom.json").then_some(SbomFormat::CycloneDx)
}

fn add(given: &mut BTreeMap<String, Fields>, kind: String, fields: Fields) -> Result<(), ArgError> {
    let twice = format!("duplicate attestation field {kind}");
    match given.insert(kind, fields) {
        None => Ok(()),
        Some(_) => Err(ArgError::new(twice)),
    }
}

fn fields(text: &str) -> Result<Fields, ArgError> {
    let expected = "KEY=VALUE,…";
    let error = || ArgError::value("--attest", text, expected);
    let mut fields = Fields::new();
    for field in kiln_export::split_csv(text).ok_or_else(error)? {
        let (key, value) = field.split_once('=').ok_or_else(error)?;
        fields.insert(key.trim().to_lowercase(), value.to_owned());
    }
    Ok(fields)
}

/// A boolean turns it on or off; `max` and `min` alone are modes.
fn shorthand(text: &str) -> Result<Fields, ArgError> {
    match (text, boolean(text)) {
        (_, Some(on)) => Ok(Fields::from([("disabled".to_owned(), (!on).to_string())])),
        ("min" | "max", None) => Ok(Fields::from([("mode".to_owned(), text.to_owned())])),
        (text, None) => fields(text),
    }
}

/// Reads a boolean as Go does.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn flag(fields: &mut Fields, key: &str) -> Result<bool, ArgError> {
    let Some(value) = fields.remove(key) else {
        return Ok(false);
    };
    boolean(&value).ok_or_else(|| ArgError::value(key, &value, "true or false"))
}

fn disabled(fields: &mut Fields) -> Result<bool, ArgError> {
    flag(fields, "disabled")
}

fn provenance(mut fields: Fields) -> Result<Option<ProvenanceOptions>, ArgError> {
    if disabled(&mut fields)? {
        return Ok(None);
    }
    let mode = match fields.remove("mode").as_deref() {
        None | Some("max" | "full") => ProvenanceMode::Max,
        Some("min") => ProvenanceMode::Min,
        Some(other) => return Err(ArgError::value("mode", other, "min or max")),
    };
    let version = match fields.remove("version").as_deref() {
        None | Some("v1") => ProvenanceVersion::V1,
        Some("v0.2") => ProvenanceVersion::V02,
        Some(other) => return Err(ArgError::value("version", other, "v1 or v0.2")),
    };
    if flag(&mut fields, "capture-usage")? {
        return Err(ArgError::not_yet("`capture-usage` of provenance"));
    }
    let options = ProvenanceOptions {
        mode,
        version,
        builder_id: fields.remove("builder-id").unwrap_or_default(),
        reproducible: flag(&mut fields, "reproducible")?,
        inline_only: flag(&mut fields, "inline-only")?,
        complete_materials: flag(&mut fields, "complete-materials")?,
    };
    if fields.contains_key("filename") {
        return Err(files_not_yet());
    }
    no_more("provenance", &fields)?;
    Ok(Some(options))
}

/// Checks that nobody waits for a file beside what `local` and `tar` outputs write.
///
/// # Errors
/// When one is asked for by name.
pub(crate) fn check_outputs(attestations: &Attestations, outputs: &[Output]) -> Result<(), ArgError> {
    let by_name = attestations
        .provenance
        .as_ref()
        .is_some_and(|asked| !asked.inline_only);
    let files = |output: &Output| matches!(output, Output::Tar { .. } | Output::Local { .. });
    match (by_name || attestations.sbom.is_some()) && outputs.iter().any(files) {
        true => Err(files_not_yet()),
        false => Ok(()),
    }
}

/// Refuses one file for several images.
///
/// # Errors
/// When there is more than one platform.
pub(crate) fn check_sidecar(attestations: &Attestations, platforms: &[Platform]) -> Result<(), ArgError> {
    match attestations.sidecar && platforms.len() > 1 {
        true => Err(several_sidecars(platforms.len())),
        false => Ok(()),
    }
}

/// Says that one file cannot hold the SBOMs of `count` images.
pub(crate) fn several_sidecars(count: usize) -> ArgError {
    ArgError::new(format!(
        "`--sbom-out` writes the SBOM of one image, and {count} platforms are built"
    ))
    .hint(
        "`--sbom` attaches one to each image; `kiln sbom REF --platform PLATFORM -o FILE` writes that of one",
    )
}

fn files_not_yet() -> ArgError {
    ArgError::not_yet("writing attestations as files of `local` and `tar` outputs")
        .hint("outputs of images hold them: `image`, `oci`, `docker` and `registry`")
}

fn sbom(mut fields: Fields) -> Result<Option<SbomOptions>, ArgError> {
    if disabled(&mut fields)? {
        return Ok(None);
    }
    let formats = match fields.remove("format").as_deref() {
        None | Some("spdx" | "spdx-json") => vec![SbomFormat::Spdx],
        Some("cyclonedx" | "cyclonedx-json") => vec![SbomFormat::CycloneDx],
        Some("all") => vec![SbomFormat::Spdx, SbomFormat::CycloneDx],
        Some(other) => return Err(ArgError::value("format", other, "spdx, cyclonedx or all")),
    };
    let options = SbomOptions {
        formats,
        // BuildKit's scanner is a container; its name means what is built in.
        generators: fields
            .remove("generator")
            .filter(|name| !name.contains("docker/buildkit-syft-scanner"))
            .into_iter()
            .collect(),
        required: flag(&mut fields, "required")?,
    };
    no_more("sbom", &fields)?;
    Ok(Some(options))
}

fn no_more(kind: &str, fields: &Fields) -> Result<(), ArgError> {
    match fields.keys().next() {
        None => Ok(()),
        Some(key) => Err(ArgError::new(format!(
            "attestation type `{kind}` has no attribute `{key}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attest: &[&str], provenance: Option<&str>, env: &[(&str, &str)]) -> Result<Attestations, String> {
        let args = AttestArgs {
            attest: attest.iter().map(|&text| text.to_owned()).collect(),
            provenance: provenance.map(str::to_owned),
            ..AttestArgs::default()
        };
        let around = Surroundings {
            directory: "/".into(),
            env: env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            temporary: "/".into(),
            stdin: Box::new(std::io::empty()),
        };
        args.read(&around).map_err(|error| error.to_string())
    }

    #[test]
    fn provenance_is_asked_for_as_with_buildx() {
        use ProvenanceMode::Max;
        use ProvenanceMode::Min;
        let check = |attest: &[&str], flag: Option<&str>, expect: Option<(ProvenanceMode, bool)>| {
            let found = read(attest, flag, &[]).unwrap().provenance;
            let found = found.map(|options| (options.mode, options.inline_only));
            assert_eq!(found, expect, "{attest:?} {flag:?}");
        };
        check(&[], None, Some((Min, true)));
        check(&[], Some("true"), Some((Max, false)));
        check(&[], Some("false"), None);
        check(&[], Some("mode=min"), Some((Min, false)));
        check(&[], Some("max"), Some((Max, false)));
        check(&["type=provenance,mode=max"], None, Some((Max, false)));
        check(&["type=provenance,disabled=true"], None, None);
        check(
            &["type=sbom,disabled=true"],
            Some("mode=full"),
            Some((Max, false)),
        );
        let off = read(&[], None, &[("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")]).unwrap();
        assert_eq!(off.provenance, None);
    }

    #[test]
    fn nothing_is_ignored() {
        let fails = |attest: &[&str], flag: Option<&str>, expect: &str| {
            let error = read(attest, flag, &[]).unwrap_err();
            assert!(error.contains(expect), "{attest:?} {flag:?}: {error}");
        };
        fails(&["mode=max"], None, "type not specified");
        fails(&["type=foo"], None, "foo");
        fails(&[], Some("mode=some"), "min or max");
        fails(&[], Some("version=v2"), "v1 or v0.2");
        fails(&[], Some("moode=max"), "no attribute `moode`");
        fails(&["type=provenance"], Some("true"), "duplicate attestation field");
        fails(&[], Some("reproducible=maybe"), "true or false");
    }
}
