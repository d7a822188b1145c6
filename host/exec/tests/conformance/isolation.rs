//! What a step must not be able to do, and what it sees of network and kernel.

use super::Case;
use super::Fixture;
use kiln_exec::Network;
use kiln_exec::Security;
use kiln_exec::User;
use std::io::Read as _;
use std::io::Write as _;

pub(super) const ALL: &[Case] = &[
    ("capabilities", capabilities),
    ("capabilities of another user", no_capabilities),
    ("insecure", insecure),
    ("system calls that are refused", refused_calls),
    ("system calls that are new", new_calls),
    ("system calls of 32-bit x86", x86_calls),
    ("system calls of 32-bit x86 that are new", x86_new_calls),
    ("masked paths", masked),
    ("devices", devices),
    ("device files do not open", device_files),
    ("a device of the step's own", own_device),
    ("a read-only file system in memory", read_only_memory),
    ("nothing of the machine is above the root", above_root),
    ("own processes only", own_processes),
    ("no descriptors of ours", descriptors),
    ("kernel settings", kernel_settings),
    ("no network", no_network),
    ("host network", host_network),
    ("default network has its own interface", default_network),
    ("default network reaches the gateway", gateway),
];

fn status(f: &Fixture<'_>, field: &str) -> String {
    let ran = f.run(f.script(&format!("grep {field}: /proc/self/status | awk '{{print $2}}'")));
    ran.out.trim().to_owned()
}

fn capabilities(f: &Fixture<'_>) {
    for (field, expected) in [
        ("CapBnd", "00000000a80425fb"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(status(f, field), expected, "{field}");
    }
}

fn no_capabilities(f: &Fixture<'_>) {
    let mut step = f.script("grep -E 'Cap(Eff|Prm|Bnd):' /proc/self/status | awk '{print $2}'");
    step.user = User {
        uid: 1000,
        gid: 1000,
        groups: Vec::new(),
    };
    f.check(step, "0000000000000000\n0000000000000000\n00000000a80425fb");
}

fn insecure(f: &Fixture<'_>) {
    let mut step = f.script("grep -E '(CapBnd|Seccomp):' /proc/self/status | awk '{print $2}'; mount -t tmpfs x /tmp && echo mounted");
    step.security = Security::Insecure;
    let ran = f.run(step);
    let own = std::fs::read_to_string("/proc/self/status").expect("a status");
    let bound = own
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:\t"))
        .expect("a bounding set");
    assert_eq!(ran.out, format!("{bound}\n0\nmounted\n"), "{}", ran.err);
}

fn refused_calls(f: &Fixture<'_>) {
    let refused = "Operation not permitted";
    for command in [
        "unshare -U true",
        "unshare -m true",
        "mount -t tmpfs x /tmp",
        "umount /proc",
    ] {
        let ran = f.run(f.script(&format!("{command} 2>&1 || mount -t proc x /proc 2>&1")));
        assert!(
            ran.out.contains(refused) || ran.out.contains("permission denied"),
            "{command}: {ran:?}"
        );
    }
}

/// Calls by number through a program made for it: `probe` prints the error number of each.
fn probe(f: &Fixture<'_>, numbers: &[i64]) -> Vec<String> {
    let source = "#include <stdio.h>\n#include <stdlib.h>\n#include <errno.h>\n#include <unistd.h>\n\
                  int main(int c,char**v){for(int i=1;i<c;i++){errno=0;syscall(atol(v[i]),-1L,-1L,-1L,-1L,-1L);\
                  printf(\"%d\\n\",errno);}return 0;}";
    std::fs::write(f.path("probe.c"), source).expect("a source");
    let made = std::process::Command::new("cc")
        .args(["-static", "-o"])
        .args([f.path("base/bin/probe"), f.path("probe.c")])
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "a C compiler is needed for this test (package `gcc`)"
    );
    let mut args = vec!["probe".to_owned()];
    args.extend(numbers.iter().map(ToString::to_string));
    let ran = f.run(f.step(&args.iter().map(String::as_str).collect::<Vec<_>>()));
    ran.out.lines().map(str::to_owned).collect()
}

#[cfg(target_arch = "x86_64")]
const CALLS: [(i64, &str); 9] = [
    (250, "1"),  // keyctl: EPERM
    (248, "1"),  // add_key
    (425, "1"),  // io_uring_setup
    (321, "1"),  // bpf
    (298, "1"),  // perf_event_open
    (246, "1"),  // kexec_load
    (175, "1"),  // init_module
    (323, "1"),  // userfaultfd
    (435, "38"), // clone3: ENOSYS
];

#[cfg(not(target_arch = "x86_64"))]
const CALLS: [(i64, &str); 3] = [(219, "1"), (425, "1"), (435, "38")];

fn new_calls(f: &Fixture<'_>) {
    let numbers: Vec<i64> = CALLS.iter().map(|(number, _)| *number).chain([999]).collect();
    let expected: Vec<&str> = CALLS.iter().map(|(_, errno)| *errno).chain(["38"]).collect();
    assert_eq!(probe(f, &numbers), expected);
}

fn masked(f: &Fixture<'_>) {
    let script = "for p in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats; do \
                  test -e $p && head -c 1 $p | wc -c | grep -qv '^0' && echo $p; done; \
                  ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | grep . ; true";
    f.check(f.script(script), "");
}

fn devices(f: &Fixture<'_>) {
    let script = "ls /dev | tr '\\n' ' '; echo; echo x >/dev/null; head -c 4 /dev/zero | wc -c; \
                  head -c 4 /dev/urandom | wc -c; echo x 2>/dev/null >/dev/full || echo full; readlink /dev/fd; readlink /dev/ptmx";
    let ran = f.run(f.script(script));
    let mut lines = ran.out.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    for name in [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
        "urandom", "zero",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(
        lines.collect::<Vec<_>>(),
        ["4", "4", "full", "/proc/self/fd", "pts/ptmx"],
        "{}",
        ran.err
    );
}

fn device_files(f: &Fixture<'_>) {
    // Making one may be allowed, as in docker; opening what is not among a step's devices is not.
    for dir in ["/tmp", "/dev", "/dev/shm"] {
        let script = format!("mknod {dir}/mem c 1 1; head -c 1 {dir}/mem 2>&1; rm -f {dir}/mem");
        let out = f.run(f.script(&script)).out;
        assert!(
            out.contains("ermi") || out.contains("No such file"),
            "{dir}: {out}"
        );
    }
}

/// A program for 32-bit x86 that makes one call and exits with its error number.
fn x86_program(number: u32, argument: u32) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    code.push(0xbb);
    code.extend(argument.to_le_bytes());
    // Other arguments are zero; call, negate, exit.
    code.extend([0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0xcd, 0x80]);
    code.extend([0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    let (headers, entry) = (0x54_u32, BASE + 0x54);
    let size = headers + u32::try_from(code.len()).expect("small");
    let mut out = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    for word in [entry, 0x34, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    for half in [0x34_u16, 0x20, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        out.extend(u32::to_le_bytes(word));
    }
    out.extend(code);
    out
}

fn x86_calls(f: &Fixture<'_>) {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let (refused, unknown) = (libc::EPERM, libc::ENOSYS);
    // close, mount, unshare, setns, init_module, clone with a new user namespace, clone3, one that is too new,
    // personality, socket.
    let calls = [
        (6, 99, libc::EBADF),
        (21, 0, refused),
        (310, 0x2_0000, refused),
        (346, 99, refused),
        (128, 0, refused),
        (120, 0x1000_0011, refused),
        (435, 0, unknown),
        (136, 1, refused),
        (136, 0xffff_ffff, 0),
        (359, 40, refused),
        (359, 2, libc::ESOCKTNOSUPPORT),
    ];
    calls.iter().for_each(|call| x86_call(f, *call));
}

fn x86_new_calls(f: &Fixture<'_>) {
    if cfg!(target_arch = "x86_64") {
        x86_call(f, (500, 0, libc::ENOSYS));
    }
}

fn x86_call(f: &Fixture<'_>, (number, argument, expected): (u32, u32, i32)) {
    let path = f.path("base/bin/x86");
    std::fs::write(&path, x86_program(number, argument)).expect("a file");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let ran = f.run(f.step(&["/bin/x86"]));
    if ran.err.contains("exec format error") {
        eprintln!("this kernel does not run programs for 32-bit x86: {}", ran.err);
        return;
    }
    assert_eq!(ran.exit.code, expected, "call {number}: {}", ran.err);
}

fn own_device(f: &Fixture<'_>) {
    let node = kiln_exec::DeviceNode {
        host_path: "/dev/zero".into(),
        kind: kiln_exec::DeviceKind::Character,
        major: 1,
        minor: 5,
        mode: 0o640,
        uid: 0,
        gid: 7,
    };
    let mut step = f.script("stat -c '%a %u %g %t %T' /dev/ours; head -c 3 /dev/ours | wc -c");
    step.mounts = vec![kiln_exec::StepMount {
        target: "/dev/ours".to_owned(),
        source: kiln_exec::MountSource::Device(node),
    }];
    let ran = f.run(step);
    // In a user namespace it is the machine's own file.
    let fits =
        ["640 0 7 1 5\n3\n", "666 0 0 1 5\n3\n", "666 65534 65534 1 5\n3\n"].contains(&ran.out.as_str());
    assert!(fits, "{}{}", ran.out, ran.err);
}

fn read_only_memory(f: &Fixture<'_>) {
    let mut step = f.script("touch /t/x 2>/dev/null || echo refused; stat -c %a /t");
    step.mounts = vec![kiln_exec::StepMount {
        target: "/t".to_owned(),
        source: kiln_exec::MountSource::Tmpfs {
            size: None,
            mode: 0o1777,
            access: kiln_exec::Access::ReadOnly,
        },
    }];
    f.check(step, "refused\n1777");
}

fn above_root(f: &Fixture<'_>) {
    let part = kiln_exec::MountSource::Overlay {
        lowers: vec![f.path("base")],
        changes: None,
        selector: "etc".to_owned(),
        access: kiln_exec::Access::ReadOnly,
    };
    let script = "for p in /.. /etc/.. /proc/.. /m/.. /m/../..; do stat -c %i $p; done | sort -u | wc -l; cd /; ls -A ..";
    let mut step = f.script(script);
    step.mounts = vec![kiln_exec::StepMount {
        target: "/m".to_owned(),
        source: part,
    }];
    f.check(step, "1\nbin\ndev\netc\nm\nproc\nsys\ntmp");
}

fn own_processes(f: &Fixture<'_>) {
    f.check(
        f.script("ls -d /proc/[0-9]* | wc -l | grep -E '^[1-4]$' >/dev/null && echo few"),
        "few",
    );
}

fn descriptors(f: &Fixture<'_>) {
    // Without a shell, which has some of its own for a moment. The last one is the directory that `ls` reads.
    f.check(f.step(&["ls", "/proc/self/fd"]), "0\n1\n2\n3");
}

fn kernel_settings(f: &Fixture<'_>) {
    let script = "for p in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper; do \
                  echo x 2>/dev/null >$p && echo $p; done; true";
    f.check(f.script(script), "");
}

fn no_network(f: &Fixture<'_>) {
    f.check(
        f.script("ls /sys/class/net; ip -o addr | grep -c 'inet 127.0.0.1'"),
        "lo\n1",
    );
}

fn host_network(f: &Fixture<'_>) {
    let mut step = f.script("readlink /proc/self/ns/net");
    step.network = Network::Host;
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    f.check(step, &own.to_string_lossy());
}

fn default_network(f: &Fixture<'_>) {
    let mut step = f.script("ip -o -4 addr show dev eth0 | wc -l; ip route | grep -c '^default via'");
    step.network = Network::Default;
    f.check(step, "1\n1");
}

fn gateway(f: &Fixture<'_>) {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || {
        let (mut connection, peer) = listener.accept().expect("a connection");
        let _ = connection.read(&mut [0; 1024]);
        let _ = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        peer.ip()
    });
    let script = format!(
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc $(ip route | awk '/^default/ {{print $3}}') {port} | tail -1"
    );
    let mut step = f.script(&script);
    step.network = Network::Default;
    f.check(step, "hello");
    assert!(
        server
            .join()
            .expect("the server ends")
            .to_string()
            .starts_with("10.214.")
    );
}
