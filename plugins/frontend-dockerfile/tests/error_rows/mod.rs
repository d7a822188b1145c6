//! The rows of `errors.rs`.

/// A Dockerfile, what its error says, and line and column (both from 1) of the place.
pub(crate) type Row = (&'static str, &'static str, (u32, u32));

/// Names of flags, instructions and stages.
pub(crate) const NAMES: &[Row] = &[
    (
        "FROM scratch\n  COYP a b",
        "unknown instruction: COYP (did you mean COPY?)",
        (2, 3),
    ),
    (
        "FROM scratch\ncopyy a b",
        "unknown instruction: copyy (did you mean copy?)",
        (2, 1),
    ),
    ("FROM scratch\nBADCMD", "unknown instruction: BADCMD", (2, 1)),
    (
        "FROM scratch\nCOPY --chown=a --frm=a b c",
        "unknown flag: --frm (did you mean from?)",
        (2, 16),
    ),
    (
        "FROM scratch\nCOPY \\\n  --link \\\n  --frm=a b c",
        "unknown flag: --frm",
        (4, 3),
    ),
    ("FROM scratch\nADD --from=a b c", "unknown flag: --from", (2, 5)),
    (
        "FROM scratch\nADD --parents b c",
        "unknown flag: --parents",
        (2, 5),
    ),
    (
        "FROM --platfrom=a scratch",
        "unknown flag: --platfrom (did you mean platform?)",
        (1, 6),
    ),
    (
        "FROM scratch\nRUN --mout=a b",
        "unknown flag: --mout (did you mean mount?)",
        (2, 5),
    ),
    (
        "FROM scratch\nCOPY --from=a --from=b c d",
        "duplicate flag specified: --from",
        (2, 15),
    ),
    (
        "FROM scratch\nCOPY --from a b",
        "missing a value on flag: --from",
        (2, 6),
    ),
    (
        "FROM scratch\nCOPY --link=maybe a b",
        "expecting boolean value for flag --link, not: maybe",
        (2, 6),
    ),
    ("FROM a b", "FROM requires either one or three arguments", (1, 1)),
    (
        "FROM a BY b",
        "FROM requires either one or three arguments",
        (1, 1),
    ),
    (
        "FROM a AS 1x",
        "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        (1, 11),
    ),
    ("ARG X\nFROM ${X}", "base name (${X}) should not be blank", (2, 6)),
    ("FROM scratch AS a\nFROM nosuch AS b\n", "nosuch", (2, 1)),
    (
        "FROM --platform=a/b/c/d busybox",
        "failed to parse platform a/b/c/d",
        (1, 6),
    ),
    (
        "FROM --platform=$BULIDPLATFORM busybox",
        "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
        (1, 6),
    ),
    ("RUN x", "no build stage in current context", (1, 1)),
    (
        "FROM busybox AS build\nFROM busybox\nCOPY --from=biuld a /",
        "(did you mean build?)",
        (3, 1),
    ),
    (
        "FROM busybox AS build\nFROM biuld",
        "(did you mean build?)",
        (2, 1),
    ),
    (
        "FROM busybox AS build\nFROM busybox\nRUN --mount=from=biuld,target=/a x",
        "(did you mean build?)",
        (3, 1),
    ),
];

/// Arguments of instructions.
pub(crate) const ARGUMENTS: &[Row] = &[
    (
        "FROM scratch\nCOPY a",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        (2, 1),
    ),
    (
        "FROM scratch\nADD a",
        "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        (2, 1),
    ),
    (
        "FROM scratch\nADD a <<E\nE",
        "ADD cannot accept a heredoc as a destination",
        (2, 7),
    ),
    (
        "FROM scratch\nCOPY a <<E\nE",
        "COPY cannot accept a heredoc as a destination",
        (2, 8),
    ),
    (
        "FROM scratch\nWORKDIR",
        "WORKDIR requires exactly one argument",
        (2, 1),
    ),
    ("FROM scratch\nUSER", "USER requires exactly one argument", (2, 1)),
    (
        "FROM scratch\nSTOPSIGNAL",
        "STOPSIGNAL requires exactly one argument",
        (2, 1),
    ),
    (
        "FROM scratch\nEXPOSE",
        "EXPOSE requires at least one argument",
        (2, 1),
    ),
    (
        "FROM scratch\nVOLUME",
        "VOLUME requires at least one argument",
        (2, 1),
    ),
    ("FROM scratch\nENV", "ENV requires at least one argument", (2, 1)),
    (
        "FROM scratch\nLABEL",
        "LABEL requires at least one argument",
        (2, 1),
    ),
    ("FROM scratch\nARG", "ARG requires at least one argument", (2, 1)),
    (
        "FROM scratch\nSHELL []",
        "SHELL requires at least one argument",
        (2, 1),
    ),
    (
        "FROM scratch\nONBUILD",
        "ONBUILD requires at least one argument",
        (2, 1),
    ),
    (
        "FROM scratch\nHEALTHCHECK",
        "HEALTHCHECK requires at least one argument",
        (2, 1),
    ),
    ("FROM scratch\nENV a", "ENV must have two arguments", (2, 5)),
    ("FROM scratch\nLABEL a", "LABEL must have two arguments", (2, 7)),
    (
        "FROM scratch\nENV a=b \\\n  c",
        "can't find = in \"c\". Must be of the form: name=value",
        (3, 3),
    ),
    ("FROM scratch\nENV a=b =c", "ENV names can not be blank", (2, 9)),
    ("FROM scratch\nLABEL =c", "LABEL names can not be blank", (2, 7)),
    ("FROM scratch\nARG a =c", "ARG names can not be blank", (2, 7)),
    (
        "FROM scratch\nCMD [\"a\", 1]",
        "when using JSON array syntax, arrays must be comprised of strings only",
        (2, 11),
    ),
    (
        "FROM scratch\nSHELL sh -c",
        "SHELL requires the arguments to be in JSON form",
        (2, 7),
    ),
    (
        "FROM scratch\nVOLUME [\"a\", \" \"]",
        "VOLUME specified can not be an empty string",
        (2, 14),
    ),
    (
        "FROM scratch\nVOLUME a $empty",
        "VOLUME specified can not be an empty string",
        (2, 10),
    ),
    ("FROM scratch\nEXPOSE 80 x", "invalid containerPort: x", (2, 11)),
    ("FROM scratch\nEXPOSE 80 1/icmp", "invalid proto: icmp", (2, 11)),
    (
        "FROM scratch\nEXPOSE 80 70000",
        "value out of range (0–65535)",
        (2, 11),
    ),
    (
        "FROM scratch\nEXPOSE 80 9-8",
        "invalid range specified for port: 9-8",
        (2, 11),
    ),
    (
        "FROM scratch\nSTOPSIGNAL SIGNONE",
        "invalid signal: SIGNONE",
        (2, 12),
    ),
    (
        "FROM scratch\nHEALTHCHECK NONE x",
        "HEALTHCHECK NONE takes no arguments",
        (2, 18),
    ),
    (
        "FROM scratch\nHEALTHCHECK CMD",
        "Missing command after HEALTHCHECK CMD",
        (2, 13),
    ),
    (
        "FROM scratch\nHEALTHCHECK try x",
        "Unknown type \"TRY\" in HEALTHCHECK (try CMD)",
        (2, 13),
    ),
    (
        "FROM scratch\nHEALTHCHECK --interval=5 CMD x",
        "missing unit in duration \"5\"",
        (2, 13),
    ),
    (
        "FROM scratch\nHEALTHCHECK --timeout=1us CMD x",
        "Interval \"timeout\" cannot be less than 1ms",
        (2, 13),
    ),
    (
        "FROM scratch\nHEALTHCHECK --retries=-1 CMD x",
        "--retries cannot be negative (-1)",
        (2, 13),
    ),
    (
        "FROM scratch\nONBUILD ONBUILD RUN x",
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        (2, 9),
    ),
    (
        "FROM scratch\nONBUILD maintainer x",
        "MAINTAINER isn't allowed as an ONBUILD trigger",
        (2, 9),
    ),
    (
        "FROM scratch\nONBUILD FROM x",
        "FROM isn't allowed as an ONBUILD trigger",
        (2, 9),
    ),
];

/// COPY and ADD.
pub(crate) const COPIES: &[Row] = &[
    (
        "FROM scratch\nCOPY a http://example.com/b /",
        "source can't be a URL for COPY",
        (2, 8),
    ),
    (
        "FROM scratch\nCOPY a https://example.com/b.git /",
        "source can't be a git ref for COPY",
        (2, 8),
    ),
    (
        "FROM scratch\nCOPY --link --from=$X a /",
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        (2, 13),
    ),
    ("FROM scratch\nCOPY --from=7 a /", "invalid stage index 7", (2, 6)),
    (
        "FROM scratch AS a\nCOPY --from=b a /\nFROM scratch AS b\nFROM a",
        "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
        (2, 6),
    ),
    (
        "FROM scratch AS a\nCOPY --from=a a /",
        "circular dependency detected on stage: a",
        (2, 1),
    ),
    (
        "FROM scratch AS a\nCOPY --from=b x /\nFROM scratch AS b\nCOPY --from=a x /",
        "circular dependency detected on stage: a",
        (4, 1),
    ),
    (
        "FROM scratch\nCOPY --chmod=999 a /",
        "invalid chmod parameter: '999'. it should be octal string and between 0 and 07777",
        (2, 6),
    ),
    (
        "FROM scratch\nARG M=9\nADD --chown=1 --chmod=$M a /",
        "invalid chmod parameter: '9'",
        (3, 15),
    ),
    (
        "FROM scratch\nADD --checksum=sha256:1 a /",
        "checksum requires HTTP(S) or Git sources",
        (2, 5),
    ),
    (
        "FROM scratch\nADD --checksum=sha256:1 http://example.com/a http://example.com/b /",
        "checksum can't be specified for multiple sources",
        (2, 5),
    ),
    (
        "FROM scratch\nADD --checksum=sha256:1 http://example.com/a /",
        "invalid checksum digest length",
        (2, 5),
    ),
    (
        "FROM scratch\nADD --checksum=md5:1 http://example.com/a /",
        "unsupported digest algorithm",
        (2, 5),
    ),
    (
        "FROM scratch\nADD --keep-git-dir=false https://example.com/a.git?keep-git-dir=true /",
        "inconsistent keep-git-dir configuration",
        (2, 5),
    ),
    (
        "FROM scratch\nADD --checksum=0123456789012345678901234567890123456789 https://example.com/a.git?checksum=9999999999999999999999999999999999999999 /",
        "checksum mismatch",
        (2, 5),
    ),
    (
        "FROM scratch\nADD a https://example.com/b.git?nosuch=1 /",
        "nosuch",
        (2, 7),
    ),
];

/// RUN and what it mounts.
pub(crate) const RUNS: &[Row] = &[
    (
        "FROM busybox\nRUN --network=some x",
        "invalid network mode \"some\" (did you mean none?)",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --network=none --security=some x",
        "security \"some\" is not valid",
        (2, 20),
    ),
    (
        "FROM busybox\nRUN --network=none --device=vendor.com/a=b x",
        "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
        (2, 20),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a --mount=from=$a x",
        "'from' doesn't support variable expansion, define alias stage instead",
        (2, 23),
    ),
    (
        "FROM busybox\nRUN --mount=type=cahce,target=/a x",
        "unsupported mount type \"cahce\" (did you mean cache?)",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a --mount=targt=/a x",
        "unexpected key 'targt' in 'targt=/a' (did you mean target?)",
        (2, 23),
    ),
    (
        "FROM busybox\nRUN --mount=target=/ x",
        "invalid mount target \"/\"",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=cache x",
        "invalid mount target \"/\"",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=secret,id=a,source=b x",
        "both source and id can't be set",
        (2, 5),
    ),
    (
        "FROM busybox AS b\nRUN --mount=type=secret,id=a,from=alpine x",
        "secret mount should not have a from",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=secret,id=a,sharing=locked x",
        "secret mount should not define sharing",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=secret x",
        "invalid secret mount. one of source, target required",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a,sharing=locked x",
        "invalid cache sharing set for bind mount",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=cache,target=/a,sharing=lokced x",
        "unsupported sharing value \"lokced\" (did you mean locked?)",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a,mode=0600 x",
        "mode not allowed for \"bind\" type mounts",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a,uid=1 x",
        "uid not allowed for \"tmpfs\" type mounts",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=cache,target=/a,mode=9 x",
        "invalid value 9 for mode",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=cache,target=/a,size=1m x",
        "unexpected key 'size' for mount type 'cache'",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a,size=big x",
        "invalid value for size: big",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=bind,target=/a,required x",
        "unexpected key 'required' for mount type 'bind'",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=cache,target=/a,required=true x",
        "unexpected key 'required' for mount type 'cache'",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target x",
        "invalid field 'target' must be a key=value pair",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a,ro=maybe x",
        "invalid value for ro: maybe",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=type=ssh,source=a x",
        "ssh does not support source",
        (2, 5),
    ),
    (
        "FROM busybox AS a\nRUN --mount=target=/m,from=b x\nFROM busybox AS b\nFROM a",
        "cannot mount from stage \"b\" to \"/m\", stage needs to be defined before current command",
        (2, 5),
    ),
    (
        "FROM busybox\nRUN --mount=target=/a,source=${b:?no} x",
        "b: no",
        (2, 30),
    ),
    (
        "FROM busybox\nRUN --mount=target=/m <<E\nx\nE\nRUN --mount=targt=/m <<E\nx\nE",
        "unexpected key 'targt'",
        (5, 5),
    ),
];

/// Cutting into lines, directives, variables.
pub(crate) const TEXT: &[Row] = &[
    (
        "# escape=x\nFROM scratch",
        "invalid escape token 'x' does not match ` or \\",
        (1, 10),
    ),
    (
        "# escape=`\n# escape=`\nFROM scratch",
        "only one escape parser directive can be used",
        (2, 1),
    ),
    (
        "# check=skp=all\nFROM scratch",
        "invalid check option \"skp\"",
        (1, 1),
    ),
    (
        "# check=error=maybe\nFROM scratch",
        "failed to parse check option",
        (1, 1),
    ),
    (
        "# check=error=true\nFROM scratch\nMAINTAINER x",
        "lint violation found for rules: MaintainerDeprecated",
        (3, 1),
    ),
    ("# a\n\n", "file with no instructions", (2, 1)),
    (
        "FROM scratch\nCOPY <<A <<B /\na\nA\n",
        "unterminated heredoc",
        (2, 10),
    ),
    (
        "FROM scratch\nRUN <<-'EOF'\n\ta\n EOF\n",
        "unterminated heredoc",
        (2, 5),
    ),
    ("FROM scratch\nONBUILD RUN <<E\n", "unterminated heredoc", (2, 13)),
    ("FROM scratch\nENV a=1 b=x${c:?none}", "c: none", (2, 12)),
    (
        "FROM scratch\nENV a=${c?}",
        "c: is not allowed to be unset",
        (2, 7),
    ),
    (
        "FROM scratch\nENV a=\nENV b=${a:?}",
        "a: is not allowed to be empty",
        (3, 7),
    ),
    (
        "FROM scratch\nENV a=x${}",
        "syntax error: bad substitution",
        (2, 8),
    ),
    (
        "FROM scratch\nENV a=x${:y}",
        "syntax error: bad substitution",
        (2, 8),
    ),
    ("FROM scratch\nENV a=${b:-c", "syntax error: missing '}'", (2, 7)),
    ("FROM scratch\nENV a=${b/c}", "missing '/' in ${}", (2, 7)),
    (
        "FROM scratch\nENV a=${b:#c}",
        "unsupported modifier (:#) in substitution",
        (2, 7),
    ),
    (
        "FROM scratch\nWORKDIR /a/${b:%c}",
        "unsupported modifier (:%) in substitution",
        (2, 12),
    ),
    (
        "FROM scratch\nUSER $x'y",
        "unexpected end of statement while looking for matching single-quote",
        (2, 8),
    ),
    ("FROM scratch\nLABEL a=\"b\" c=\"d ${e:?f}\"", "e: f", (2, 18)),
    ("FROM scratch\nEXPOSE 1 ${a:?b}", "a: b", (2, 10)),
    ("FROM scratch\nSTOPSIGNAL ${a:?b}", "a: b", (2, 12)),
    ("FROM scratch\nVOLUME a ${a:?b}", "a: b", (2, 10)),
    ("FROM scratch\nARG a b=${c:?d}", "c: d", (2, 9)),
    ("ARG a=${c:?d}\nFROM scratch", "c: d", (1, 7)),
    ("FROM scr${c:?d}", "c: d", (1, 9)),
    ("FROM --platform=${c:?d} busybox", "c: d", (1, 17)),
    ("FROM scratch\nCOPY --chown=${c:?d} a b", "c: d", (2, 14)),
    ("FROM scratch\nCOPY a ${c:?d} b", "c: d", (2, 8)),
    ("FROM scratch\nADD \\\n  a \\\n  ${c:?d}", "c: d", (4, 3)),
    ("FROM scratch\nCOPY <<E /\none\n two ${c:?d}\nE", "c: d", (4, 6)),
    (
        "FROM scratch\nCOPY <<-A <<-B /\n\tone\n\tA\n\ttwo ${c:?d}\n\tB",
        "c: d",
        (5, 6),
    ),
    (
        "ARG SOURCE_DATE_EPOCH=nosuch\nFROM scratch",
        "invalid SOURCE_DATE_EPOCH: nosuch",
        (1, 1),
    ),
    (
        "# syntax=example.com/a:1\nFROM scratch",
        "is a container image",
        (1, 1),
    ),
];
