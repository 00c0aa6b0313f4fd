//! A parser of foreign bytes may panic; nobody should notice but its caller.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// True while a panic of this thread is somebody's expected answer.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `parse` and turns its panic into an error that holds the panic's words, printing nothing.
///
/// For parsers of foreign bytes alone: what they were building is dropped, and nothing of ours is behind it.
///
/// # Errors
/// The message of the panic.
pub fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(parse));
    QUIET.set(outer);
    result.map_err(|payload| {
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        words.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_words() {
        assert_eq!(guarded(|| 3), Ok(3));
        let at = |index: usize| [1, 2][index];
        assert!(guarded(|| at(7)).unwrap_err().contains("index"));
        assert_eq!(guarded(|| guarded(|| panic!("inner")).unwrap_err()), Ok("inner".to_owned()));
        assert!(!QUIET.get());
    }
}
