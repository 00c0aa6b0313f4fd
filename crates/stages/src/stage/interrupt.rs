//! Being asked to end: by a scheduler (SIGTERM), ahead of a time limit (SIGUSR1), or by Ctrl-C.
//!
//! A stage that has something to save notices, saves it and leaves; a second signal ends it at once. Everything else
//! dies as it would without this file, and loses nothing that was published.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

#[cfg(unix)]
const SIGNALS: [i32; 3] =
    [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGUSR1];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT];

/// Switches of the process, set up once.
struct Switches {
    /// Nothing is there to be saved: a signal ends the process.
    is_idle: Arc<AtomicBool>,
    /// A signal came.
    is_asked: Arc<AtomicBool>,
}

static SWITCHES: OnceLock<Option<Switches>> = OnceLock::new();

/// While this lives, a first signal is noticed instead of ending the process.
pub struct Attention(Option<&'static Switches>);

impl Attention {
    /// Starts to pay attention. Where signals cannot be watched, nobody ever asks.
    #[must_use]
    pub fn pay() -> Self {
        let switches = SWITCHES.get_or_init(|| Switches::install().ok()).as_ref();
        if let Some(switches) = switches {
            switches.is_idle.store(false, Ordering::SeqCst);
        }
        Self(switches)
    }

    /// Whether the process was asked to end.
    #[must_use]
    pub fn is_asked_to_end(&self) -> bool {
        self.0.is_some_and(|switches| switches.is_asked.load(Ordering::SeqCst))
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        if let Some(switches) = self.0 {
            switches.is_idle.store(true, Ordering::SeqCst);
        }
    }
}

impl Switches {
    fn install() -> std::io::Result<Self> {
        let switches = Self { is_idle: Arc::new(true.into()), is_asked: Arc::new(false.into()) };
        for signal in SIGNALS {
            // In this order: the second signal finds the first one's mark.
            let ends = [&switches.is_idle, &switches.is_asked];
            for switch in ends {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(switch))?;
            }
            signal_hook::flag::register(signal, Arc::clone(&switches.is_asked))?;
        }
        Ok(switches)
    }
}
