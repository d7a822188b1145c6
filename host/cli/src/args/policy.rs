//! `--source-policy-file`, and the variable that buildx takes it from.

use kiln_engine::SourcePolicy;

use super::ArgError;
use super::Surroundings;

/// buildx's name for it.
const VARIABLE: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";
/// Largest policy in bytes.
const LARGEST: u64 = 4 << 20;

/// Reads the policies of all files, and of the file that the environment names.
///
/// # Errors
/// Names the file that cannot be read or is no policy.
pub(crate) fn sources(files: &[String], around: &Surroundings) -> Result<Vec<SourcePolicy>, ArgError> {
    let of_env = around.env.get(VARIABLE).filter(|file| !file.is_empty());
    files
        .iter()
        .chain(of_env)
        .map(|file| read(file, around))
        .collect()
}

fn read(file: &str, around: &Surroundings) -> Result<SourcePolicy, ArgError> {
    let failed = || ArgError::new(format!("cannot use the source policy `{file}`"));
    let path = around.path(file);
    let size = std::fs::metadata(&path).map_err(|e| failed().because(e))?.len();
    if size > LARGEST {
        return Err(failed().hint(format!("it has {size} bytes; {LARGEST} are the most")));
    }
    let text = std::fs::read(&path).map_err(|e| failed().because(e))?;
    SourcePolicy::parse(&text).map_err(|e| failed().because(e))
}
