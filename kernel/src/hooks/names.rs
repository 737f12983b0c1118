//! Names of nodes, as getaddrinfo tells them, and what the loader left for the process.

use super::*;
use crate::calls::{self, call};

/// One address with its place, as getaddrinfo gives it away.
#[repr(C)]
struct Found {
    entry: addrinfo,
    place: [u8; 28],
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getaddrinfo(
    host: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    to: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: the caller vouches for the strings, the hints and the place of the result.
    unsafe {
        if !inside() {
            return real!(
                getaddrinfo,
                unsafe extern "C" fn(
                    *const c_char,
                    *const c_char,
                    *const addrinfo,
                    *mut *mut addrinfo,
                ) -> c_int
            )(host, service, hints, to);
        }
        let (family, kind, flags) = match hints.is_null() {
            true => (AF_UNSPEC, 0, 0),
            false => ((*hints).ai_family, (*hints).ai_socktype, (*hints).ai_flags),
        };
        let host = if host.is_null() { None } else { Some(text(host)) };
        let port = match service.is_null() {
            true => Some(0),
            false => text(service).parse::<u16>().ok(),
        };
        let Some(port) = port else { return EAI_SERVICE };
        let found = calls::resolve(host.as_deref(), family, flags & AI_PASSIVE != 0);
        let Some(found) = found else {
            calls::hint_names(host.as_deref().unwrap_or_default());
            return EAI_NONAME;
        };
        let mut next = std::ptr::null_mut();
        for ip in found.into_iter().rev() {
            let bytes = address(&Name::Inet(SocketAddr::new(ip, port)));
            let mut entry: addrinfo = std::mem::zeroed();
            entry.ai_family = if ip.is_ipv4() { AF_INET } else { AF_INET6 };
            entry.ai_socktype = if kind == 0 { SOCK_STREAM } else { kind };
            (entry.ai_addrlen, entry.ai_next) = (bytes.len() as socklen_t, next);
            // What `freeaddrinfo` knows its own by.
            entry.ai_flags = c_int::MIN;
            let mut place = [0; 28];
            place[..bytes.len()].copy_from_slice(&bytes);
            let one = Box::into_raw(Box::new(Found { entry, place }));
            (*one).entry.ai_addr = (&raw mut (*one).place).cast();
            next = one.cast();
        }
        to.write(next);
        0
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn freeaddrinfo(first: *mut addrinfo) {
    // SAFETY: the caller vouches for the list, and does not use it again.
    unsafe {
        if first.is_null() || (*first).ai_flags != c_int::MIN {
            return real!(freeaddrinfo, unsafe extern "C" fn(*mut addrinfo))(first);
        }
        let mut next = first;
        while !next.is_null() {
            let one = Box::from_raw(next.cast::<Found>());
            next = one.entry.ai_next;
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getauxval(key: c_ulong) -> c_ulong {
    // Without the vDSO nobody reads the clock behind the kernel's back.
    if inside() && key == AT_SYSINFO_EHDR {
        return 0;
    }
    // SAFETY: a number.
    unsafe { real!(getauxval, unsafe extern "C" fn(c_ulong) -> c_ulong)(key) }
}

/// Where `antithesis_sdk` looks for the file of its reports.
const RECORDS: &CStr = c"ANTITHESIS_SDK_LOCAL_OUTPUT";

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: the caller vouches for the name, and does not write to what it is given.
    unsafe {
        let found = real!(getenv, unsafe extern "C" fn(*const c_char) -> *mut c_char)(name);
        if found.is_null() && inside() && CStr::from_ptr(name) == RECORDS {
            return c"/dev/antithesis".as_ptr().cast_mut();
        }
        found
    }
}

hooks! {
    // A machine of 8 GiB, half of which is free.
    fn sysinfo(to: *mut sysinfo) -> c_int; inside() => {
        let mut told: sysinfo = std::mem::zeroed();
        told.uptime = (crate::run::now().unwrap_or_default().as_nanos() / 1_000_000_000) as c_long;
        (told.totalram, told.freeram, told.procs, told.mem_unit) = (8 << 30, 4 << 30, 1, 1);
        to.write(told);
        Ok(0)
    };
    fn uname(to: *mut utsname) -> c_int; inside() => {
        let name = call(|k| k.nodes[k.here()].name.clone());
        let mut told: utsname = std::mem::zeroed();
        // The version decides which calls a program takes to be there.
        for (field, says) in [
            (&mut told.sysname, "Linux"),
            (&mut told.nodename, &name),
            (&mut told.release, "6.12.0"),
            (&mut told.version, "#1 SMP"),
            (&mut told.machine, "x86_64"),
        ] {
            let room = field.len() - 1;
            let bytes = says.bytes().take(room);
            field.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte as c_char);
        }
        to.write(told);
        Ok(0)
    };
}
