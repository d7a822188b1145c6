//! "did you mean": the nearest known word.

use kiln_dockerfile_syntax::suggest;

/// Adds the nearest of several names to an error text; case matters.
pub(crate) fn add<S: AsRef<str>>(text: String, word: &str, options: &[S]) -> String {
    let options: Vec<&str> = options.iter().map(AsRef::as_ref).collect();
    suggest::exact(text, word, &options)
}
