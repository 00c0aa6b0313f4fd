//! Where the hub is and how it is asked: from the variables that its own tools read.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// What the hub is asked with. See <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, without a slash at its end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Who asks (`HF_TOKEN`, or the file that a login has left).
    pub token: Option<Token>,
    /// No network at all (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// Where other tools keep what they downloaded (`HF_HUB_CACHE`, `HF_HOME`).
    pub cache: PathBuf,
    /// Longest silence of a server before it is asked again (`HF_HUB_DOWNLOAD_TIMEOUT`, seconds).
    pub timeout: Duration,
    /// Attempts without progress before giving up.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub pause: Duration,
}

/// A secret: nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

impl Settings {
    /// The settings that the environment holds.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the variable that cannot be used.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Settings::from_environment`], with `variable` in the place of the environment.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let truth = |name| {
            set(name)
                .is_some_and(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on"))
        };
        let home = set("HF_HOME").map_or_else(
            || {
                let caches = set("XDG_CACHE_HOME").map_or_else(
                    || PathBuf::from(set("HOME").unwrap_or_else(|| ".".into())).join(".cache"),
                    PathBuf::from,
                );
                caches.join("huggingface")
            },
            PathBuf::from,
        );
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let timeout = match set("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => 30,
            Some(seconds) => {
                seconds.trim().parse().ok().filter(|&seconds| seconds > 0).ok_or_else(|| Error::Setting {
                    setting: "HF_HUB_DOWNLOAD_TIMEOUT",
                    reason: format!("{seconds:?} is not a number of seconds"),
                })?
            }
        };
        let token_file = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = match truth("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => set("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file).ok()),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let reason = "the token holds characters that no token has".to_owned();
            return Err(Error::Setting { setting: "HF_TOKEN", reason });
        }
        Ok(Self {
            endpoint: set("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim()
                .trim_end_matches('/')
                .into(),
            token: token.map(Token),
            offline: truth("HF_HUB_OFFLINE") || truth("TRANSFORMERS_OFFLINE"),
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            timeout: Duration::from_secs(timeout),
            attempts: 5,
            pause: Duration::from_millis(500),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_and_variables() {
        let plain = settings(&[("HOME", "/home/a")]).unwrap();
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, PathBuf::from("/home/a/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none());
        let full = settings(&[
            ("HF_ENDPOINT", "http://localhost:8090/"),
            ("HF_HOME", "/data/hf"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "3"),
        ])
        .unwrap();
        assert_eq!(full.endpoint, "http://localhost:8090");
        assert_eq!(full.cache, PathBuf::from("/data/hf/hub"));
        assert!(full.offline);
        assert_eq!(full.timeout, Duration::from_secs(3));
        assert_eq!(full.token.as_ref().unwrap().secret(), "hf_secret");
        assert!(!format!("{full:?}").contains("secret"), "nothing prints a token");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_a_token_is_not_shown() {
        let error = settings(&[("HF_TOKEN", "hf_se cret")]).unwrap_err().to_string();
        assert!(error.starts_with("HF_TOKEN: ") && !error.contains("cret"), "{error}");
        assert!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).unwrap_err().to_string().contains("soon"));
    }
}
