//! System calls without a symbol, and machines that do not permit what a run asks for, by force.

use seedfall_kernel::{Backstop, Failure, Report, Simulation, isolated};
use std::ffi::CStr;
use std::process::Command;

/// What the process that is asked is to do without.
const WITHOUT: &str = "SEEDFALL_KERNEL_WITHOUT";
const ASKED: &str = "SEEDFALL_KERNEL_TEST_BACKSTOP";

/// A system call as a crate makes it that wants no libc.
pub(crate) fn raw(number: i64, words: [usize; 3]) -> i64 {
    let result: i64;
    #[expect(unsafe_code, reason = "what such crates do")]
    // SAFETY: the callers below hand over what these calls ask for.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") words[0], in("rsi") words[1], in("rdx") words[2],
            out("rcx") _, out("r11") _,
        );
    }
    result
}

fn counter() -> u64 {
    #[expect(unsafe_code, reason = "what profilers and random generators do")]
    // SAFETY: it reads a register.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
}

/// Looks at what the kernel serves: its process, its clock, random bytes, a file, many threads.
fn looks() {
    let (mut random, mut clock) = ([0_u8; 8], [0_u64; 2]);
    let pid = raw(39, [0; 3]);
    raw(318, [random.as_mut_ptr() as usize, 8, 0]);
    raw(228, [1, clock.as_mut_ptr() as usize, 0]);
    std::fs::write("file", "bytes").unwrap();
    let opened = raw(2, [c"/work/file".as_ptr() as usize, 0, 0]);
    let threads: Vec<_> = (0..60_u64).map(|one| std::thread::spawn(move || one)).collect();
    let sum: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    // What allocators ask for at their start: which nodes of memory there are, and where they are.
    let is_there = |path: &CStr| raw(21, [path.as_ptr() as usize, 4, 0]);
    let nodes = [c"/work/file", c"/sys/devices/system/node/node1"].map(is_there);
    let mut place = [7_u32; 2];
    let got = raw(309, [&raw mut place[0] as usize, &raw mut place[1] as usize, 0]);
    assert_eq!((nodes, got, place), ([0, -2], 0, [0, 0]));
    println!("{pid} {random:?} {clock:?} {} {sum}", opened >= 1 << 20);
}

/// Asks the real machine for another process.
fn forks() {
    println!("{}", raw(57, [0; 3]));
}

fn run(main: fn()) -> Report {
    Simulation::new(3).node("a", main).run()
}

/// What a process sees that is asked for it; nothing for people.
#[test]
fn asked_for_another_process() {
    if std::env::var(ASKED).is_ok() {
        isolated(|| {
            let looked = run(looks);
            println!("looked {:?} {:?}", looked.failures, looked.node("a").output());
            println!("hashes {} {}", looked.hash, run(looks).hash);
            println!("isolation {:?}", looked.isolation);
            println!("degraded {:?}", looked.isolation.degraded());
            let counts = run(|| println!("{}", counter()));
            println!("counter {:?}", counts.node("a").output());
            if looked.isolation.system_calls != Backstop::Absent {
                let forked = run(forks);
                let Some(Failure::Unsupported { call, .. }) = forked.failure() else {
                    panic!("{forked:?}");
                };
                println!("refused {call}");
            }
        });
    }
}

fn ask(without: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["backstop::asked_for_another_process", "--exact", "--nocapture"]);
    command.env(ASKED, "1").env(WITHOUT, without).env_remove("SEEDFALL_KERNEL_ISOLATED");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("without {without:?}:\n{text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn line<'a>(text: &'a str, of: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.split_once(of).map(|(_, rest)| rest));
    found.unwrap_or_else(|| panic!("no {of}: {text}")).trim()
}

#[test]
fn a_system_call_without_a_symbol_is_served_or_named_by_dispatch_and_by_seccomp() {
    let [dispatch, seccomp] = ["", "dispatch"].map(ask);
    assert!(line(&dispatch, "isolation ").contains("Dispatch"), "{dispatch}");
    assert!(line(&seccomp, "isolation ").contains("Seccomp"), "{seccomp}");
    assert!(line(&dispatch, "looked ").starts_with("[] \"1000 ["), "{dispatch}");
    for what in ["looked ", "hashes ", "counter ", "refused "] {
        assert_eq!(line(&dispatch, what), line(&seccomp, what));
    }
    assert_eq!(line(&dispatch, "refused "), "the system call fork");
    let hashes: Vec<&str> = line(&dispatch, "hashes ").split(' ').collect();
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_machine_that_permits_less_is_named_and_its_runs_go_on() {
    let none = ask("dispatch,seccomp");
    assert!(line(&none, "isolation ").contains("Absent"), "{none}");
    assert!(line(&none, "degraded ").contains("reaches the real machine unseen"), "{none}");
    assert!(!line(&none, "looked ").starts_with("[] \"1000 ["), "a real process: {none}");
    let tsc = ask("tsc");
    assert!(line(&tsc, "degraded ").contains("the time-stamp counter sees the real time"), "{tsc}");
    assert_ne!(line(&tsc, "counter "), line(&ask(""), "counter "));
    let random = ask("personality");
    assert!(line(&random, "degraded ").contains("addresses are random"), "{random}");
}
