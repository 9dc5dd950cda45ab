//! How the process inside of the sandbox speaks to the one outside: lines on standard output. Most are what tools print,
//! for the log; ours begin with a mark.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// Begins our own lines. No tool prints a record separator (ASCII 30).
const MARK: char = '\u{1e}';

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    /// A package's files are in place.
    Unpacked {
        /// Its name.
        package: String,
    },
    /// A package is being configured, or looks at what others brought.
    Configuring {
        /// Its name.
        package: String,
    },
    /// Something begins that is not a package's.
    Step {
        /// For people: `making the initramfs`.
        what: String,
    },
    /// It did not work.
    Failed {
        /// Why, with all that led there, outermost first.
        why: String,
        /// It is the request that is wrong: what to do about it.
        help: Option<String>,
        /// The disk is full.
        no_space: bool,
    },
}

/// Says it.
pub fn say(said: &Said) {
    if let Ok(text) = serde_json::to_string(said) {
        line(&format!("{MARK}{text}"));
    }
}

/// Passes a line on. Nobody listening is no reason to stop.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
}

/// Understands one of our lines.
pub fn heard(line: &str) -> Option<Said> {
    serde_json::from_str(line.strip_prefix(MARK)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let said = Said::Step {
            what: "a \"step\"\n".into(),
        };
        let line = format!("{MARK}{}", serde_json::to_string(&said).unwrap());
        assert_eq!(heard(&line), Some(said));
        assert_eq!(heard("Setting up x"), None);
    }
}
