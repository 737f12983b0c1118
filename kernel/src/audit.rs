//! The import audit: which functions of libraries this program calls that nobody simulates.
//!
//! What a binary takes from shared libraries is a closed list in its dynamic symbol table. What the
//! hooks define is not in it any more, and what computes alone is known by name; the rest may reach
//! the machine. A call of one that makes a system call is caught by the backstop when it happens:
//! the audit says so before, and where there is no backstop.

use std::io::{Error, ErrorKind};

/// Families of functions that compute alone, or that touch this process alone.
const FAMILIES: [&str; 22] = [
    "_Unwind_",
    "_ITM_",
    "__gmon_",
    "__cxa_",
    "__libc_",
    "__errno_",
    "__tls_",
    "__stack_chk",
    "mem",
    "str",
    "wcs",
    "is",
    "to",
    "pthread_attr_",
    "pthread_mutex",
    "pthread_cond",
    "pthread_rwlock",
    "pthread_getspecific",
    "pthread_setspecific",
    "pthread_key_",
    "sig",
    "posix_spawn",
];

/// Single ones.
const HARMLESS: [&str; 58] = [
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "atoi",
    "atol",
    "bcmp",
    "bsearch",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "dl_iterate_phdr",
    "dladdr",
    "dlclose",
    "dlerror",
    "dlopen",
    "dlsym",
    "environ",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "fma",
    "fmod",
    "frexp",
    "gai_strerror",
    "getenv",
    "gnu_get_libc_version",
    "hypot",
    "inet_ntop",
    "inet_pton",
    "ldexp",
    "log",
    "log10",
    "log1p",
    "log2",
    "longjmp",
    "mallopt",
    "modf",
    "pow",
    "prctl",
    "pthread_self",
    "pthread_sigmask",
    "qsort",
    "rand_r",
    "round",
    "setenv",
    "setjmp",
    "sin",
    "sinh",
    "snprintf",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
];

/// What this very crate takes from libc for itself.
const OURS: [&str; 6] = ["alarm", "pause", "personality", "setitimer", "setrlimit", "signal"];

/// The functions that this program takes from shared libraries and that are neither simulated nor
/// known to compute alone, in order.
///
/// # Errors
/// If the file of this program cannot be read, or is no ELF file.
pub fn audit() -> Result<Vec<String>, Error> {
    let bytes = std::fs::read(std::env::current_exe()?)?;
    let none = || Error::new(ErrorKind::InvalidData, "this program's file is no 64-bit ELF file");
    let mut names = imports(&bytes).ok_or_else(none)?;
    names.retain(|name| !computes_alone(name));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether a function of libc computes alone, or touches this process alone: nobody has to simulate
/// it.
pub fn computes_alone(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family))
        || HARMLESS.contains(&name)
        || OURS.contains(&name)
        || name.strip_suffix('f').is_some_and(|double| HARMLESS.contains(&double))
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// The undefined names of the dynamic symbol table.
fn imports(bytes: &[u8]) -> Option<Vec<String>> {
    const DYNAMIC_SYMBOLS: usize = 11;
    const SYMBOL: usize = 24;
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) =
        (number(bytes, 0x28, 8)?, number(bytes, 0x3A, 2)?, number(bytes, 0x3C, 2)?);
    let section = |index: usize| {
        let at = table + index * size;
        let kind = number(bytes, at + 4, 4)?;
        let (start, length) = (number(bytes, at + 0x18, 8)?, number(bytes, at + 0x20, 8)?);
        Some((kind, start, length, number(bytes, at + 0x28, 4)?))
    };
    let found = (0..count).filter_map(section).find(|(kind, ..)| *kind == DYNAMIC_SYMBOLS);
    let (_, start, length, texts) = found?;
    let (_, texts, _, _) = section(texts)?;
    let mut names = Vec::new();
    for symbol in 1..length / SYMBOL {
        let at = start + symbol * SYMBOL;
        if number(bytes, at + 6, 2)? == 0 {
            let text = bytes.get(texts + number(bytes, at, 4)?..)?;
            let end = text.iter().position(|byte| *byte == 0)?;
            names.push(String::from_utf8_lossy(&text[..end]).into_owned());
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_simulated_or_computes_is_not_told_and_what_is_neither_is() {
        let told = audit().expect("the file of this test");
        for simulated in ["read", "connect", "malloc", "pthread_create", "memcpy", "fork"] {
            assert!(!told.contains(&simulated.to_owned()), "{simulated}: {told:?}");
        }
        assert!(told.contains(&"sysconf".to_owned()), "it tells of the machine: {told:?}");
        assert!(imports(b"#!/bin/sh").is_none());
    }
}
