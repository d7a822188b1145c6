use super::*;
use kiln_sdk::packages::matched;

/// An ELF file with one writable segment over the whole file and the sections given.
fn elf(sections: &[(&str, Vec<u8>)], wide: bool) -> Vec<u8> {
    let word = |n: usize| (n as u64).to_le_bytes()[..if wide { 8 } else { 4 }].to_vec();
    let half = |n: usize| (n as u16).to_le_bytes().to_vec();
    let full = |n: usize| (n as u32).to_le_bytes().to_vec();
    let (header, program, section) = if wide { (64, 56, 64) } else { (52, 32, 40) };
    let mut names = vec![0];
    let mut body = Vec::new();
    let mut table = vec![vec![0; section]];
    let start = header + program;
    let mut all: Vec<(String, Vec<u8>)> = sections
        .iter()
        .map(|(n, d)| ((*n).to_owned(), d.clone()))
        .collect();
    all.push((".shstrtab".to_owned(), Vec::new()));
    for (name, _) in &all {
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    all.last_mut().unwrap().1 = names.clone();
    for (name, data) in &all {
        while !(start + body.len()).is_multiple_of(16) {
            body.push(0);
        }
        let at = names
            .windows(name.len())
            .position(|w| w == name.as_bytes())
            .unwrap();
        let parts = [
            full(at),
            full(1),
            word(3),
            word(0),
            word(start + body.len()),
            word(data.len()),
        ];
        let mut entry = parts.concat();
        entry.resize(section, 0);
        table.push(entry);
        body.extend_from_slice(data);
    }
    let tables = start + body.len();
    let size = tables + table.len() * section;
    let ident = [b"\x7fELF".as_slice(), &[if wide { 2 } else { 1 }, 1, 1], &[0; 9]].concat();
    let mut out = [
        ident,
        half(2),
        half(62),
        full(1),
        word(0),
        word(header),
        word(tables),
        full(0),
    ]
    .concat();
    out.extend(
        [
            half(header),
            half(program),
            half(1),
            half(section),
            half(table.len()),
            half(table.len() - 1),
        ]
        .concat(),
    );
    let place = [word(0), word(0x1000), word(0x1000), word(size), word(size)].concat();
    match wide {
        true => out.extend([full(1), full(6), place, word(16)].concat()),
        false => out.extend([full(1), place, full(6), word(16)].concat()),
    }
    out.extend(body);
    out.extend(table.concat());
    out
}

#[test]
fn a_program_without_modules_has_a_path() {
    let text = [&[b'<'; 16], b"path\texample.com/tool\n".as_slice(), &[b'>'; 16]].concat();
    let head = [
        b"\xff Go buildinf:\x08\x02".as_slice(),
        &[0; 16],
        &[6],
        b"go1.19",
        &[text.len() as u8],
    ]
    .concat();
    let info = [head, text].concat();
    let expect = ["pkg:golang/stdlib@1.19", "pkg:golang/example.com/tool"];
    assert_eq!(purls("tool", &elf(&[(".go.buildinfo", info)], true)), expect);
}

#[test]
fn the_linker_may_have_been_told_the_version() {
    let check = |flags: &str, expect: &str| {
        let text = format!("mod\ta.b/c\t(devel)\t\nbuild\t-ldflags=\"{flags}\"\n");
        let text = [&[b'<'; 16], text.as_bytes(), &[b'>'; 16]].concat();
        let head = [b"\xff Go buildinf:\x08\x02".as_slice(), &[0; 16], &[6], b"go1.19"];
        let length = [(text.len() & 0x7f) as u8 | 0x80, (text.len() >> 7) as u8];
        let info = [&head.concat(), length.as_slice(), &text].concat();
        assert_eq!(
            purls("tool", &elf(&[(".go.buildinfo", info)], true))[1],
            expect,
            "{flags}"
        );
    };
    check(
        "-s -w -X main.version=1.2.3 -X main.commit=9",
        "pkg:golang/a.b/c@v1.2.3",
    );
    check(
        "-X a.b/c/internal.Version=v2.0.0-rc1",
        "pkg:golang/a.b/c@v2.0.0-rc1",
    );
    check("-X other.version=1.2.3", "pkg:golang/a.b/c");
    check("-X main.version=snapshot", "pkg:golang/a.b/c");
}

const MODULES: &str = "path\texample.com/app/cmd\nmod\texample.com/App\t(devel)\t\ndep\tgithub.com/a/b/v2\tv2.1.0\th1:x=\ndep\tgithub.com/old\tv1.0.0\n=>\tgithub.com/new\tv1.1.0\th1:y=\nbuild\tvcs.revision=0123456789abcdef\nbuild\tvcs.time=2023-05-01T12:34:56Z\n";

/// Build information that stands in one place.
fn inline() -> Vec<u8> {
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    info.push(8);
    info.extend(b"go1.21.5");
    let text = [&[b'<'; 16], MODULES.as_bytes(), &[b'>'; 16]].concat();
    info.extend([(text.len() & 0x7f) as u8 | 0x80, (text.len() >> 7) as u8]);
    info.extend(text);
    info
}

/// Build information of before Go 1.18: pointers to pointers.
fn pointers(wide: bool, place: usize) -> Vec<u8> {
    let size = if wide { 8 } else { 4 };
    let word = |n: usize| (n as u64).to_le_bytes()[..size].to_vec();
    let mut info = [b"\xff Go buildinf:".as_slice(), &[size as u8, 0]].concat();
    let text = [&[b'<'; 16], MODULES.as_bytes(), &[b'>'; 16]].concat();
    let (base, headers) = (0x1000 + place, 64);
    let texts = headers + 4 * size;
    info.extend([word(base + headers), word(base + headers + 2 * size)].concat());
    info.resize(headers, 0);
    info.extend(
        [
            word(base + texts),
            word(8),
            word(base + texts + 8),
            word(text.len()),
        ]
        .concat(),
    );
    info.extend(b"go1.16.5");
    info.extend(text);
    info
}

fn purls(path: &str, content: &[u8]) -> Vec<String> {
    let found = Binary::catalog(vec![matched(PROGRAM, path, content)]).unwrap();
    found.into_iter().map(|package| package.purl).collect()
}

#[test]
fn go_programs_name_their_modules() {
    let check = |name: &str, info: Vec<u8>, wide: bool, go: &str| {
        let found = purls("app", &elf(&[(name, info)], wide));
        let expect = [
            "pkg:golang/github.com/a/b/v2@v2.1.0".to_owned(),
            "pkg:golang/github.com/new@v1.1.0".to_owned(),
            format!("pkg:golang/stdlib@{go}"),
            "pkg:golang/example.com/app@v0.0.0-20230501123456-0123456789ab".to_owned(),
        ];
        assert_eq!(found, expect, "{name} {wide}");
    };
    check(".go.buildinfo", inline(), true, "1.21.5");
    check(".go.buildinfo", inline(), false, "1.21.5");
    // The section lies behind the headers, at the next 16 bytes.
    check(".go.buildinfo", pointers(true, 128), true, "1.16.5");
    check(".go.buildinfo", pointers(false, 96), false, "1.16.5");
    // A linker that throws names away leaves it in the data.
    check(".data", inline(), true, "1.21.5");
}

#[test]
fn the_main_module_needs_the_others() {
    let file = matched(PROGRAM, "app", &elf(&[(".go.buildinfo", inline())], true));
    let found = Binary::catalog(vec![file]).unwrap();
    assert_eq!(found[3].name, "example.com/App");
    assert_eq!(found[3].relations.len(), 3);
}

#[test]
fn rust_programs_name_their_crates() {
    let list = br#"{"packages":[{"name":"app","version":"0.1.0","source":"local","dependencies":[1,2],"root":true},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},{"name":"libc","version":"0.2.1","source":"crates.io"}]}"#;
    let data = miniz_oxide::deflate::compress_to_vec_zlib(list, 6);
    let found = Binary::catalog(vec![matched(PROGRAM, "app", &elf(&[(".dep-v0", data)], true))]).unwrap();
    let of: Vec<(&str, usize)> = found
        .iter()
        .map(|p| (p.purl.as_str(), p.relations.len()))
        .collect();
    assert_eq!(of, [("pkg:cargo/app@0.1.0", 1), ("pkg:cargo/libc@0.2.1", 0)]);
}

#[test]
fn a_bomb_is_no_list_of_crates() {
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 20 << 20], 1);
    assert_eq!(
        purls("app", &elf(&[(".dep-v0", bomb)], true)),
        Vec::<String>::new()
    );
}

#[test]
fn programs_tell_their_version() {
    let check = |path: &str, text: &str, expect: Option<&str>| {
        let content = elf(&[(".rodata", text.as_bytes().to_vec())], true);
        let expect: Vec<String> = expect.map(|p| format!("pkg:generic/{p}")).into_iter().collect();
        assert_eq!(purls(path, &content), expect, "{path} {text}");
    };
    check("usr/local/bin/node", "x node.js/v18.19.0 y", Some("node@18.19.0"));
    check(
        "usr/local/bin/python3.11",
        "\x003.11\x003.11.2\0",
        Some("python@3.11.2"),
    );
    check(
        "usr/local/lib/libpython3.12.so.1.0",
        "\x003.12.0rc1\0",
        Some("python@3.12.0rc1"),
    );
    check("usr/local/bin/python3.11", "\x003.10.2\0", None);
    check("usr/local/bin/ruby", "ruby 3.2.2 (2023", Some("ruby@3.2.2"));
    check(
        "usr/local/bin/php",
        "X-Powered-By: PHP/8.2.7\0",
        Some("php@8.2.7"),
    );
    check(
        "opt/jdk/bin/java",
        "\0openjdk\0java\x000.0\x0017.0.9+9\0",
        Some("openjdk@17.0.9"),
    );
    check(
        "usr/sbin/nginx",
        "nginx version: nginx/1.25.3\0",
        Some("nginx@1.25.3"),
    );
    check(
        "usr/local/apache2/bin/httpd",
        "Apache/2.4.57 (Unix)",
        Some("httpd@2.4.57"),
    );
    check(
        "usr/local/bin/redis-server",
        "\x007.2.3abc123-1699999999000000000\0",
        Some("redis@7.2.3"),
    );
    check(
        "usr/local/bin/postgres",
        "\0PostgreSQL 16.1 on x86\0",
        Some("postgresql@16.1"),
    );
    check("bin/busybox", "BusyBox v1.36.1 (2023)", Some("busybox@1.36.1"));
    check(
        "usr/local/bin/bash",
        "@(#)Bash version 5.2.15(1) release GNU",
        Some("bash@5.2.15"),
    );
    check("usr/local/bin/other", "Bash version 5.2.15(1)", None);
    check("usr/local/bin/node", "node.js/v1", None);
}

#[test]
fn programs_of_the_distribution_are_left_to_it() {
    let node = elf(&[(".rodata", b"node.js/v18.19.0 ".to_vec())], true);
    let found = |path: &str, list: &str, content: &str| {
        let files = vec![
            matched(PROGRAM, path, &node),
            matched(OWNED, list, content.as_bytes()),
        ];
        Binary::catalog(files).unwrap().len()
    };
    let dpkg = "var/lib/dpkg/info/nodejs.list";
    assert_eq!(found("usr/bin/node", dpkg, "/.\n/usr\n/usr/bin/node\n"), 0);
    assert_eq!(found("usr/bin/node", dpkg, "/bin/node\n"), 0);
    assert_eq!(found("usr/local/bin/node", dpkg, "/usr/bin/node\n"), 1);
    assert_eq!(
        found("usr/bin/node", "lib/apk/db/installed", "P:x\nF:usr/bin\nR:node\n"),
        0
    );
    let files = vec![
        matched(PROGRAM, "usr/bin/node", &node),
        matched(OS, "etc/os-release", b"ID=\"rocky\"\n"),
    ];
    assert_eq!(Binary::catalog(files).unwrap().len(), 0);
}

#[test]
fn damage_is_no_package() {
    let whole = elf(
        &[
            (".go.buildinfo", pointers(true, 128)),
            (".dep-v0", vec![0x78, 0x9c, 1, 2]),
        ],
        true,
    );
    for end in 0..whole.len() {
        let _ = purls("app", &whole[..end]);
    }
    // Every byte of the headers once with all bits set.
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] = 0xff;
        let _ = purls("app", &broken);
    }
}
