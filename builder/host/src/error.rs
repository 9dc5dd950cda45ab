//! Errors that are the request's fault, told apart from work that failed.

/// The request was wrong: exit code 2. Everything else that fails is exit code 1.
///
/// Put it anywhere in an `anyhow` chain; `clic` looks for it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    /// What is wrong.
    pub what: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
}

impl UserError {
    /// An error with no advice.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UserError {}
