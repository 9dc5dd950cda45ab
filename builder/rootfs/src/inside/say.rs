//! How the process inside of the sandbox speaks to the one outside: lines on its standard output, which no other program has.
//! What those print goes to standard error, for the log, where nothing is believed.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

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
        // Nobody listening is no reason to stop.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }
}

/// Passes on a line for the log.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Understands one of our lines.
pub fn heard(line: &str) -> Option<Said> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let said = Said::Step {
            what: "a \"step\"\n".into(),
        };
        let line = serde_json::to_string(&said).unwrap();
        assert_eq!(heard(&line), Some(said));
        assert_eq!(heard("Setting up x"), None);
    }
}
