//! The import audit: which functions of libraries this program calls that nobody simulates.
//!
//! What a binary takes from shared libraries is a closed list in its dynamic symbol table. What the
//! hooks define is not in it any more, and what computes alone is known by name; the rest may reach
//! the machine. A call of one that makes a system call is caught by the backstop when it happens:
//! the audit says so before, and where there is no backstop.

use crate::elf::Elf;
use std::io::Error;

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
const OURS: [&str; 4] = ["alarm", "personality", "setitimer", "setrlimit"];

/// The functions that this program takes from shared libraries and that are neither simulated nor
/// known to compute alone, in order.
///
/// # Errors
/// If the file of this program cannot be read, or is no ELF file.
pub fn audit() -> Result<Vec<String>, Error> {
    let mut names = Elf::own()?.imports()?;
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
    }
}
