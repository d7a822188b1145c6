//! Who reads a Dockerfile: `# syntax=` and the build argument `BUILDKIT_SYNTAX`.

use crate::fault::Fault;
use crate::fault::Outcome;
use crate::options::Options;
use crate::reference::Reference;
use kiln_dockerfile_syntax::directives::detect_syntax;
use kiln_dockerfile_syntax::span::Span;

/// The build argument that wins over the line in the file.
const ARGUMENT: &str = "BUILDKIT_SYNTAX";
/// What BuildKit calls the frontend that it has built in.
const BUILT_IN: [&str; 2] = ["dockerfile.v0", "builtin:dockerfile"];
/// Docker's images of the frontend.
const DOCKERS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Who reads a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// This frontend.
    Own {
        /// With the features of the `labs` channel.
        labs: bool,
    },
    /// Another component, by the reference that the host knows it by.
    Component(String),
}

impl Syntax {
    /// Finds out who reads a file.
    ///
    /// # Errors
    /// The file asks for a frontend that is a container image.
    pub(crate) fn of(options: &Options, data: &[u8]) -> Outcome<Self> {
        // Somebody has followed the line already, and came here.
        if options.forwarded {
            return Ok(Self::Own { labs: false });
        }
        if let Some(value) = options.args.get(ARGUMENT).filter(|value| !value.is_empty()) {
            let reference = value.split(' ').next().unwrap_or_default();
            return Self::named(reference);
        }
        let Some(directive) = detect_syntax(data) else {
            return Ok(Self::Own { labs: false });
        };
        let place = Span::lines(directive.line, directive.line);
        Self::named(directive.first_word()).map_err(|fault| fault.within(place))
    }

    fn named(reference: &str) -> Outcome<Self> {
        if BUILT_IN.contains(&reference) {
            return Ok(Self::Own { labs: false });
        }
        if is_component(reference) {
            return Ok(Self::Component(reference.to_owned()));
        }
        let image = Reference::parse(reference)
            .map_err(|error| Fault::new(error).wrap(&format!("invalid frontend reference {reference}")))?;
        let (name, tag) = image.name_and_tag();
        if DOCKERS.contains(&name.as_str()) {
            let labs =
                tag.is_some_and(|tag| ["labs", "master-labs"].contains(&tag) || tag.ends_with("-labs"));
            return Ok(Self::Own { labs });
        }
        let fault = Fault::new(format!(
            "frontend `{reference}` is a container image: frontends are components here, and no container is run to read a build file"
        ));
        let own = "read it with the built-in frontend, with `--build-arg BUILDKIT_SYNTAX=docker/dockerfile`";
        Err(
            match DOCKERS.iter().any(|docker| name.ends_with(&format!("/{docker}"))) {
                true => fault.help(format!("if the image is a mirror of `docker/dockerfile`, {own}")),
                false => fault.help(format!("name a component in the line `# syntax=`, or {own}")),
            },
        )
    }
}

/// Tells references of components from names of images: `builtin:NAME`, `oci://…`, and paths of files.
fn is_component(reference: &str) -> bool {
    let schemes = ["builtin:", "path:", "oci://", "./", "../", "/"];
    schemes.iter().any(|scheme| reference.starts_with(scheme)) || reference.ends_with(".wasm")
}

#[cfg(test)]
mod tests {
    use super::Syntax;
    use crate::options::Options;

    #[track_caller]
    fn check(file: &str, argument: &str, expect: &str) {
        let options = Options {
            args: [("BUILDKIT_SYNTAX".to_owned(), argument.to_owned())].into(),
            ..Options::default()
        };
        let got = match Syntax::of(&options, file.as_bytes()) {
            Ok(Syntax::Own { labs: false }) => "own".to_owned(),
            Ok(Syntax::Own { labs: true }) => "own, labs".to_owned(),
            Ok(Syntax::Component(reference)) => format!("component {reference}"),
            Err(fault) => format!(
                "{}: {}",
                fault.span.map_or(0, |span| span.start.line),
                fault.message.split_inclusive("image:").next().unwrap_or_default()
            ),
        };
        assert_eq!(got, expect, "{file:?} {argument:?}");
    }

    #[test]
    fn dockers_names_mean_this_frontend() {
        check("FROM scratch", "", "own");
        check("# syntax=docker/dockerfile:1", "", "own");
        check("#syntax=docker/dockerfile", "", "own");
        check("# syntax = docker.io/docker/dockerfile:1.7-labs", "", "own, labs");
        check("# syntax=docker/dockerfile-upstream:master-labs", "", "own, labs");
        check("# syntax=docker.io/docker/dockerfile-upstream:master", "", "own");
        check("# syntax=index.docker.io/docker/dockerfile:1", "", "own");
        check("// syntax=docker/dockerfile:labs", "", "own, labs");
        check("# syntax=dockerfile.v0", "", "own");
        let digest = "0".repeat(64);
        check(
            &format!("# syntax=docker/dockerfile:1@sha256:{digest}"),
            "",
            "own",
        );
        check("# syntax=docker/dockerfile:1 with words", "", "own");
    }

    #[test]
    fn components_are_left_to_the_host() {
        for reference in [
            "builtin:other",
            "./my.wasm",
            "/opt/my",
            "oci://example.com/my:1",
            "my.wasm",
        ] {
            check(
                &format!("# syntax={reference}"),
                "",
                &format!("component {reference}"),
            );
        }
    }

    #[test]
    fn images_are_refused() {
        let image = "is a container image:";
        check(
            "#!/x\n# syntax=example.com/my:1",
            "",
            &format!("2: frontend `example.com/my:1` {image}"),
        );
        check(
            "# syntax=earthly/dockerfile",
            "",
            &format!("1: frontend `earthly/dockerfile` {image}"),
        );
        let mirror = "mirror.example.com/docker/dockerfile:1";
        check(
            &format!("# syntax={mirror}"),
            "",
            &format!("1: frontend `{mirror}` {image}"),
        );
        check(
            "# syntax=UPPER",
            "",
            "1: invalid frontend reference UPPER: invalid reference format: repository name (library/UPPER) must be lowercase",
        );
    }

    #[test]
    fn the_argument_wins() {
        check(
            "# syntax=example.com/my:1",
            "docker/dockerfile:1-labs",
            "own, labs",
        );
        check(
            "# syntax=docker/dockerfile:1",
            "example.com/my",
            "0: frontend `example.com/my` is a container image:",
        );
        check("# syntax=example.com/my:1", "dockerfile.v0", "own");
    }
}
