//! `--call METHOD[,format=FORMAT][,ignorestatus=BOOL]`: what is asked instead of building.

use super::ArgError;

/// A question about the build file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// BuildKit's name of it: `lint`, `outline`, `targets`, `subrequests.describe` or another.
    pub(crate) name: String,
    /// Print the answer's JSON.
    pub(crate) json: bool,
    /// End with 0 whatever the answer says.
    pub(crate) ignore_status: bool,
}

impl Call {
    /// Reads the value of `--call`. None means to build.
    ///
    /// # Errors
    /// In buildx's words.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, ArgError> {
        let mut call = Self::default();
        for field in text.split(',').filter(|_| !text.is_empty()) {
            match field.split_once('=') {
                Some(("format", "json")) => call.json = true,
                Some(("format", "text" | "")) => call.json = false,
                Some(("format", other)) => {
                    return Err(ArgError::value("--call format", other, "json or text"));
                }
                Some(("ignorestatus", value)) => {
                    call.ignore_status = boolean(value)
                        .ok_or_else(|| ArgError::new(format!("invalid ignorestatus print value: {value}")))?;
                }
                Some(_) => return Err(ArgError::new(format!("invalid print field: {field}"))),
                None if call.name.is_empty() => field.clone_into(&mut call.name),
                None => return Err(ArgError::new(format!("invalid print value: {text}"))),
            }
        }
        if call.name == "check" {
            "lint".clone_into(&mut call.name);
        }
        let builds = matches!(call.name.as_str(), "" | "build");
        Ok((!builds).then_some(call))
    }

    /// Returns BuildKit's request id.
    pub(crate) fn request(&self) -> String {
        format!("frontend.{}", self.name)
    }
}

/// Reads a boolean as Go does.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn values() {
        let check = |text: &str, expect: &str| {
            let got = match Call::parse(text) {
                Ok(None) => "build".to_owned(),
                Ok(Some(call)) => format!("{} {} {}", call.request(), call.json, call.ignore_status),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expect, "{text}");
        };
        check("", "build");
        check("build", "build");
        check("build,format=json", "build");
        check("check", "frontend.lint false false");
        check("lint", "frontend.lint false false");
        check("check,format=json", "frontend.lint true false");
        check(
            "outline,format=text,ignorestatus=1",
            "frontend.outline false true",
        );
        check("format=json,targets", "frontend.targets true false");
        check(
            "subrequests.describe",
            "frontend.subrequests.describe false false",
        );
        check(
            "outline,ignorestatus=maybe",
            "invalid ignorestatus print value: maybe",
        );
        check("outline,colour=red", "invalid print field: colour=red");
        check("outline,targets", "invalid print value: outline,targets");
        check(
            "outline,format=xml",
            "invalid value `xml` for `--call format` (expected json or text)",
        );
    }
}
