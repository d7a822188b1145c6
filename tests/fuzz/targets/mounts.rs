//! What stands behind `RUN --mount=` and `RUN --device=`.

use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::instructions::MountType;
use kiln_dockerfile_syntax::parse;
use kiln_dockerfile_syntax::shell::Lex;

use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    Target {
        name: "mounts",
        run,
        tokens: &[
            b"type=",
            b"bind",
            b"cache",
            b"tmpfs",
            b"secret",
            b"ssh",
            b"from=",
            b"source=",
            b"src=",
            b"target=",
            b"dst=",
            b"destination=",
            b"readonly",
            b"ro=false",
            b"rw",
            b"readwrite=true",
            b"id=",
            b"sharing=",
            b"shared",
            b"private",
            b"locked",
            b"size=1.5g",
            b"mode=0755",
            b"mode=07777777777777",
            b"uid=4294967295",
            b"gid=-1",
            b"required",
            b"required=true",
            b"env=A",
            b"vendor.com/class=device",
            b"name=",
            b",",
            b"=",
            b"\"",
            b"\"\"",
            b"$a",
            b"${b:-c}",
            b"/",
            b"..",
            b"\\",
            b"\xc3\xa9",
        ],
        seeds: Vec::new(),
    }
}

fn run(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace(['\n', '\r'], " ");
    ["mount", "device"].map(|flag| outcome(flag, &text)).join("|")
}

fn outcome(flag: &str, value: &str) -> String {
    let file = format!("FROM a\nRUN --{flag}={value} b\n");
    let Ok(ast) = parse(file.as_bytes()) else {
        return "not cut".to_owned();
    };
    let mut file = match instructions::parse(&ast) {
        Ok(file) => file,
        Err(error) => {
            let columns = (error.span.start.column, error.span.end.column);
            assert!(columns.0 <= columns.1, "the place is {columns:?}");
            return shape(&error.message);
        }
    };
    let Some(mut command) = file.stages.pop().and_then(|mut stage| stage.commands.pop()) else {
        return "no command".to_owned();
    };
    let (lex, env) = (Lex::new('\\'), |name: &str| {
        (name == "a").then(|| "cache".to_owned())
    });
    if let Err(fault) = command.expand(&mut |word| lex.process_word(word, &env)) {
        return shape(fault.error.message());
    }
    let Instruction::Run(run) = &command.instruction else {
        panic!("RUN became something else");
    };
    assert_eq!(run.mounts.len(), run.mount_flags.len(), "a mount is lost");
    for mount in &run.mounts {
        let owned = mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some();
        let plain = matches!(mount.kind, MountType::Bind | MountType::Tmpfs);
        assert!(!(owned && plain), "{mount:?} has an owner");
        assert!(
            mount.sharing.is_none() || mount.kind == MountType::Cache,
            "{mount:?} is shared"
        );
        assert!(
            !mount.required || matches!(mount.kind, MountType::Secret | MountType::Ssh),
            "{mount:?} is required"
        );
    }
    let kinds: Vec<&str> = run.mounts.iter().map(|mount| mount.kind.name()).collect();
    format!("ok {} {}", kinds.join(","), run.devices.len().min(3))
}
