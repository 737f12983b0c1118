//! Panics that are caught, with the place that they came from.
//!
//! A sweep may meet thousands of panics, and each is a verdict: told there, not by the hook of the
//! process as well. The hook is the only one who learns the place, so one is put in front of
//! whatever hook there is, once; it keeps still about threads that catch, and hands on all others.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// Where it was: file, line and column.
    pub place: String,
}

thread_local! {
    /// The places of the last panics of this thread, one for each `catch` that it is inside of. No
    /// run reads it: a hook is told nothing but the panic.
    static CATCHING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static HOOK: Once = Once::new();

/// What comes of it, or the panic that ends it.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let (mut work, mut done) = (Some(work), None);
    caught(&mut || done = work.take().map(|work| work()))?;
    Ok(done.expect("it came to its end"))
}

/// Not generic: the compiler makes one copy of it.
fn caught(work: &mut dyn FnMut()) -> Result<(), Panic> {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !is_caught(panic) {
                before(panic);
            }
        }));
    });
    CATCHING.with_borrow_mut(|catching| catching.push(String::new()));
    let done = catch_unwind(AssertUnwindSafe(work));
    let place = CATCHING.with_borrow_mut(Vec::pop).unwrap_or_default();
    done.map_err(|panic| Panic { message: message(panic.as_ref()), place })
}

/// Whether this thread catches what it panics; if so, keeps the place.
fn is_caught(panic: &PanicHookInfo<'_>) -> bool {
    CATCHING.with_borrow_mut(|catching| match catching.last_mut() {
        Some(place) => {
            *place = panic.location().map_or_else(String::new, ToString::to_string);
            true
        }
        None => false,
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_place_and_an_inner_one_does_not_hide_an_outer_one() {
        let caught = catch(|| {
            let inner = catch(|| panic!("the inner one"));
            assert_eq!(
                inner.map_err(|panic: Panic| panic.message),
                Err::<(), _>("the inner one".into())
            );
            panic!("the outer one");
        });
        let panic = caught.expect_err("it panics");
        assert_eq!(panic.message, "the outer one");
        assert!(panic.place.contains("panics.rs:"), "{panic:?}");
        assert_eq!(catch(|| 7), Ok(7));
    }
}
