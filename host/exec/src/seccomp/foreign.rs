//! Programs for other machines that the kernel runs as they are: those for 32-bit x86 may make the calls of the same
//! profile, others none.

use seccompiler::sock_filter;

use super::AF_VSOCK;
use super::NAMESPACE_FLAGS;
use super::PERSONALITIES;
use super::table;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// Where the kernel puts the number, the machine and the first argument of a call.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// The machine that this program was built for, and 32-bit x86, as the kernel numbers them.
#[cfg(target_arch = "x86_64")]
const OWN: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const OWN: u32 = 0xc000_00f3;
const X86: u32 = 0x4000_0003;

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn errno(number: i32) -> sock_filter {
    step(RETURN, 0, 0, ERRNO | number.unsigned_abs())
}

/// Calls of the own machine pass: other programs look at them.
pub(super) fn program() -> Vec<sock_filter> {
    let mut all = vec![
        step(LOAD, 0, 0, MACHINE),
        step(JUMP_EQUAL, 0, 1, OWN),
        step(RETURN, 0, 0, ALLOW),
    ];
    if cfg!(target_arch = "x86_64") {
        all.extend([
            step(JUMP_EQUAL, 1, 0, X86),
            errno(libc::ENOSYS),
            step(LOAD, 0, 0, NUMBER),
        ]);
        all.extend(x86());
    } else {
        all.push(errno(libc::ENOSYS));
    }
    all
}

/// What follows once the number of a call for 32-bit x86 is loaded.
fn x86() -> Vec<sock_filter> {
    use super::table_386 as numbers;
    let mut all = vec![
        step(JUMP_EQUAL, 1, 0, numbers::CLONE3),
        step(JUMP_GREATER, 0, 1, table::LAST),
        errno(libc::ENOSYS),
    ];
    let flags = u32::try_from(NAMESPACE_FLAGS).unwrap_or(u32::MAX);
    all.extend([
        step(JUMP_EQUAL, 0, 5, numbers::CLONE),
        step(LOAD, 0, 0, FIRST_ARGUMENT),
        step(AND, 0, 0, flags),
        step(JUMP_EQUAL, 0, 1, 0),
        step(RETURN, 0, 0, ALLOW),
        errno(libc::EPERM),
    ]);
    let family = u32::try_from(AF_VSOCK).unwrap_or(u32::MAX);
    all.extend([
        step(JUMP_EQUAL, 0, 4, numbers::SOCKET),
        step(LOAD, 0, 0, FIRST_ARGUMENT),
        step(JUMP_EQUAL, 1, 0, family),
        step(RETURN, 0, 0, ALLOW),
        errno(libc::EPERM),
    ]);
    let values: Vec<u32> = PERSONALITIES
        .iter()
        .filter_map(|value| u32::try_from(*value).ok())
        .collect();
    let skip = u8::try_from(values.len() * 2 + 2).unwrap_or(u8::MAX);
    all.extend([
        step(JUMP_EQUAL, 0, skip, numbers::PERSONALITY),
        step(LOAD, 0, 0, FIRST_ARGUMENT),
    ]);
    all.extend(values.iter().flat_map(|value| pass(*value)));
    all.push(errno(libc::EPERM));
    let newer = table::NEW.iter().filter_map(|number| u32::try_from(*number).ok());
    let permitted = numbers::PERMITTED.iter().map(|(number, _)| *number);
    all.extend(permitted.chain(newer).flat_map(pass));
    all.push(errno(libc::EPERM));
    all
}

/// Permits a call whose loaded value is this one.
fn pass(value: u32) -> [sock_filter; 2] {
    [step(JUMP_EQUAL, 0, 1, value), step(RETURN, 0, 0, ALLOW)]
}
