//! The system calls that a sandboxed step may make, as programs for the kernel: docker's default profile for the
//! capabilities that a sandboxed step has.

mod foreign;
mod table;
mod table_386;

use crate::ExecError;
use seccompiler::BpfProgram;
use seccompiler::SeccompAction;
use seccompiler::SeccompCmpArgLen;
use seccompiler::SeccompCmpOp;
use seccompiler::SeccompCondition;
use seccompiler::SeccompFilter;
use seccompiler::SeccompRule;
use seccompiler::TargetArch;
use seccompiler::sock_filter;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`.
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK: u64 = 40;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;
#[cfg(target_arch = "riscv64")]
const ARCH: TargetArch = TargetArch::riscv64;

#[cfg(target_arch = "x86_64")]
const OCI_ARCHITECTURES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const OCI_ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
#[cfg(target_arch = "riscv64")]
const OCI_ARCHITECTURES: [&str; 1] = ["SCMP_ARCH_RISCV64"];

/// Instructions with which a compiled program looks at the machine.
const MACHINE_CHECK: usize = 3;
/// Ends the process.
const KILL: u32 = 0x8000_0000;
/// Lets the call pass.
const ALLOW: u32 = 0x7fff_0000;

/// The programs, to be installed in this order.
pub(crate) fn programs() -> Result<Vec<Vec<u8>>, ExecError> {
    let invalid = |reason: String| ExecError::Invalid {
        id: "seccomp".to_owned(),
        reason,
    };
    let mut allowed = allowed().map_err(|error| invalid(format!("the profile does not compile: {error}")))?;
    let killer = allowed.iter_mut().take(MACHINE_CHECK).find(|step| step.k == KILL);
    // The compiler ends programs for other machines; here a program of its own looks at them.
    killer
        .ok_or_else(|| invalid("the profile does not begin as expected".to_owned()))?
        .k = ALLOW;
    Ok(vec![
        bytes(&allowed),
        bytes(&unknown()),
        bytes(&foreign::program()),
    ])
}

/// The same profile in an OCI configuration.
pub(crate) fn oci() -> Value {
    let condition = |value: u64, op: &str| json!([{ "index": 0, "value": value, "op": op }]);
    let allow =
        |name: &str, args: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args });
    let mut syscalls = vec![json!({ "names": table::NAMES, "action": "SCMP_ACT_ALLOW" })];
    syscalls.extend(PERSONALITIES.map(|value| allow("personality", condition(value, "SCMP_CMP_EQ"))));
    syscalls.push(allow("socket", condition(AF_VSOCK, "SCMP_CMP_NE")));
    let masked = json!([{ "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }]);
    syscalls.push(allow("clone", masked));
    syscalls.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": OCI_ARCHITECTURES,
        "syscalls": syscalls,
    })
}

/// What is permitted; everything else is refused with `EPERM`.
fn allowed() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for number in table::COMMON.iter().chain(table::NEW).chain(table::OWN) {
        rules.insert(*number, Vec::new());
    }
    // Answered with "no such call" by the second program: its flags are in memory, where no filter can see them.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.insert(
        libc::SYS_clone,
        vec![when(0, SeccompCmpOp::MaskedEq(NAMESPACE_FLAGS), 0)?],
    );
    let personalities = PERSONALITIES.map(|value| when(0, SeccompCmpOp::Eq, value));
    rules.insert(
        libc::SYS_personality,
        personalities.into_iter().collect::<Result<_, _>>()?,
    );
    rules.insert(libc::SYS_socket, vec![when(0, SeccompCmpOp::Ne, AF_VSOCK)?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refused, SeccompAction::Allow, ARCH)?.try_into()
}

fn when(arg: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        arg,
        SeccompCmpArgLen::Dword,
        op,
        value,
    )?])
}

/// Answers `ENOSYS` for calls that are newer than the profile and for `clone3`, so that programs fall back.
///
/// Written by hand, as a comparison of the number itself is not among the rules of the compiler. Calls of other
/// machines have other numbers; what this says of them counts only where it is more than [`foreign::program`] says.
fn unknown() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_GREATER: u16 = 0x25;
    const RETURN: u16 = 0x06;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or_default();
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_EQUAL, 2, 0, clone3),
        step(JUMP_GREATER, 1, 0, table::LAST),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

fn bytes(program: &BpfProgram) -> Vec<u8> {
    program
        .iter()
        .flat_map(|step| {
            let [c0, c1] = step.code.to_le_bytes();
            let [k0, k1, k2, k3] = step.k.to_le_bytes();
            [c0, c1, step.jt, step.jf, k0, k1, k2, k3]
        })
        .collect()
}
