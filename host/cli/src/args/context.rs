//! Contexts and build files: directories, standard input, images, layouts.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use kiln_engine::BuildFile;
use kiln_engine::Context;
use kiln_engine::NamedContext;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use tempfile::NamedTempFile;

use super::ArgError;
use super::Surroundings;

/// Largest build file on standard input, in bytes.
const LARGEST_FILE: u64 = 16 << 20;
/// Bytes that tell an archive from a text: the tar magic ends at 262.
const SNIFF: usize = 512;

/// The main context, its build file, and the file that standard input was kept in.
#[derive(Debug)]
pub(crate) struct Main {
    pub(crate) context: Context,
    pub(crate) build_file: BuildFile,
    pub(crate) spool: Option<NamedTempFile>,
}

/// Finds the main context and the build file.
///
/// # Errors
/// When one of them is not there or not supported.
pub(crate) fn main(context: &str, file: Option<&str>, around: &mut Surroundings) -> Result<Main, ArgError> {
    match (context, file) {
        ("-", Some("-")) => Err(ArgError::new(
            "invalid argument: can't use stdin for both build context and dockerfile",
        )),
        ("-", file) => standard_input(file, around),
        (context, file) => match elsewhere(context, around)? {
            Some(found) => inside(found, file, around),
            None => directory(context, file, around),
        },
    }
}

/// Returns the context when it is a URL or a repository, and not a directory.
fn elsewhere(text: &str, around: &Surroundings) -> Result<Option<Context>, ArgError> {
    if let Some(repository) = repository(text, around) {
        return Ok(Some(repository));
    }
    let remote = Context::Remote(text.to_owned());
    match kiln_giturl::parse(text, Known::Unknown) {
        GitUrl::Yes(git) if git.like_local && around.path(text).exists() => Ok(None),
        GitUrl::Yes(_) => Ok(Some(remote)),
        GitUrl::Bad(message) => {
            let shown = kiln_giturl::redact(text);
            Err(ArgError::new(format!("invalid git URL `{shown}`: {message}")))
        }
        GitUrl::No if is_http(text) => Ok(Some(remote)),
        GitUrl::No => Ok(None),
    }
}

/// Returns the repository without working tree that `PATH[#REF[:SUBDIR]]` names, with `file://` before it or not.
fn repository(text: &str, around: &Surroundings) -> Option<Context> {
    let text = text.strip_prefix("file://").unwrap_or(text);
    let is_repository = |path: &Path| {
        path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
    };
    let (path, fragment) = match text.split_once('#') {
        Some((path, fragment)) if !around.path(text).exists() => (path, fragment),
        _ => (text, ""),
    };
    let path = around.path(path);
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    is_repository(&path).then(|| Context::Repository {
        path,
        reference: reference.to_owned(),
        subdir: subdir.to_owned(),
    })
}

/// Finds the build file of a context that is no directory: in it, unless the name says that it is here.
fn inside(context: Context, file: Option<&str>, around: &mut Surroundings) -> Result<Main, ArgError> {
    let build_file = match file {
        None => BuildFile::InContext {
            name: "Dockerfile".to_owned(),
        },
        Some("-") => inline(read_text(&mut *around.stdin, Vec::new())?),
        Some(file) if is_http(file) => BuildFile::Remote(file.to_owned()),
        Some(file) if file.starts_with('/') => file_at(Path::new(file))?,
        Some(file) => BuildFile::InContext {
            name: file.to_owned(),
        },
    };
    Ok(Main {
        context,
        build_file,
        spool: None,
    })
}

fn directory(context: &str, file: Option<&str>, around: &mut Surroundings) -> Result<Main, ArgError> {
    let path = existing_directory(context, around)?;
    let build_file = match file {
        Some("-") => inline(read_text(&mut *around.stdin, Vec::new())?),
        Some(file) if is_http(file) => BuildFile::Remote(file.to_owned()),
        Some(file) => file_at(&around.path(file))?,
        None => {
            // BuildKit takes the lower-case name where the other one is not there.
            let lower = !path.join("Dockerfile").exists() && path.join("dockerfile").exists();
            let name = if lower { "dockerfile" } else { "Dockerfile" };
            BuildFile::Path {
                directory: path.clone(),
                name: name.to_owned(),
            }
        }
    };
    Ok(Main {
        context: Context::Directory(path),
        build_file,
        spool: None,
    })
}

fn file_at(path: &Path) -> Result<BuildFile, ArgError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| ArgError::value("--file", &path.display().to_string(), "a file"))?;
    if path.is_dir() {
        return Err(ArgError::value(
            "--file",
            &path.display().to_string(),
            "a file, this is a directory",
        ));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new("/")).to_owned();
    Ok(BuildFile::Path {
        directory,
        name: name.to_owned(),
    })
}

fn inline(data: Vec<u8>) -> BuildFile {
    BuildFile::Inline {
        name: "Dockerfile".to_owned(),
        data: Arc::from(data),
    }
}

/// Tells a tar archive from a build file as docker does: by how it begins.
fn standard_input(file: Option<&str>, around: &mut Surroundings) -> Result<Main, ArgError> {
    let mut head = Vec::new();
    let stdin = &mut *around.stdin;
    stdin
        .take(SNIFF as u64)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.is_empty() {
        return Err(ArgError::new(
            "standard input is empty (expected a tar archive or a Dockerfile)",
        ));
    }
    if !is_archive(&head) {
        if file.is_some() {
            let error =
                ArgError::new("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
            return Err(
                error.hint("`-` as context takes a tar archive or a Dockerfile; `--file` needs the archive")
            );
        }
        let build_file = inline(read_text(stdin, head)?);
        return Ok(Main {
            context: Context::Empty,
            build_file,
            spool: None,
        });
    }
    let mut spool = NamedTempFile::new_in(&around.temporary).map_err(unkept)?;
    std::io::Write::write_all(&mut spool, &head).map_err(unkept)?;
    std::io::copy(stdin, &mut spool).map_err(unkept)?;
    let path = spool.path().to_owned();
    let build_file = BuildFile::InContext {
        name: file.unwrap_or("Dockerfile").to_owned(),
    };
    Ok(Main {
        context: Context::Archive(path),
        build_file,
        spool: Some(spool),
    })
}

fn is_archive(head: &[u8]) -> bool {
    const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    COMPRESSED.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

fn read_text(from: &mut dyn Read, mut head: Vec<u8>) -> Result<Vec<u8>, ArgError> {
    from.take(LARGEST_FILE + 1)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.len() as u64 > LARGEST_FILE {
        return Err(ArgError::new(
            "the build file on standard input has more than 16 MiB",
        ));
    }
    Ok(head)
}

fn unreadable(error: std::io::Error) -> ArgError {
    ArgError::new("cannot read standard input").because(error)
}

fn unkept(error: std::io::Error) -> ArgError {
    ArgError::new("cannot keep the archive on standard input in a temporary file").because(error)
}

/// Reads `NAME=VALUE` of `--build-context`.
///
/// # Errors
/// When the value names nothing that can be a context.
pub(crate) fn named(text: &str, around: &Surroundings) -> Result<(String, NamedContext), ArgError> {
    let error = || {
        ArgError::value(
            "--build-context",
            text,
            "`NAME=PATH`, a git or http URL, docker-image:// or oci-layout://",
        )
    };
    let (name, value) = text.split_once('=').ok_or_else(error)?;
    if name.is_empty() || value.is_empty() {
        return Err(error());
    }
    let context = if let Some(image) = value.strip_prefix("docker-image://") {
        let parsed = image.parse::<kiln_image::Reference>();
        parsed.map_err(|e| ArgError::new(format!("invalid `--build-context {name}`")).because(e))?;
        NamedContext::Image(image.to_owned())
    } else if let Some(layout) = value.strip_prefix("oci-layout://") {
        let (path, selector) = layout_path(layout);
        NamedContext::OciLayout {
            path: around.path(path),
            selector: selector.map(str::to_owned),
        }
    } else {
        match elsewhere(value, around)? {
            Some(Context::Remote(url)) => NamedContext::Remote(url),
            Some(context) => NamedContext::Files(context),
            None => NamedContext::Files(Context::Directory(existing_directory(value, around)?)),
        }
    };
    Ok((name.to_owned(), context))
}

/// Splits `PATH[:TAG|@DIGEST]`; the digest keeps its `@`.
pub(crate) fn layout_path(text: &str) -> (&str, Option<&str>) {
    if let Some(at) = text.find('@') {
        return (&text[..at], Some(&text[at..]));
    }
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (text, None),
    }
}

fn existing_directory(text: &str, around: &Surroundings) -> Result<std::path::PathBuf, ArgError> {
    let path = around.path(text);
    let failed = |why: &str| ArgError::new(format!("unable to prepare context: path \"{text}\" {why}"));
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(failed("is not a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed("not found")),
        Err(error) => Err(failed("cannot be read").because(error)),
    }
}

fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Tells whether a context is fetched by SSH: then the user's agent is lent without being asked for, as buildx does.
pub(crate) fn is_ssh(context: &Context) -> bool {
    match context {
        Context::Remote(url) => {
            matches!(kiln_giturl::parse(url, Known::Unknown), GitUrl::Yes(git) if git.is_ssh())
        }
        _ => false,
    }
}
