//! What a plan asks of packages, which do as they like with it: what comes out is held against it once they are configured.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::report::Problem;
use crate::source::Origin;

/// Who asks: a text of an overlay, and the recipe that sets parameters in it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where the overlay says it.
    pub at: Origin,
    /// The parameters in it that the recipe sets, and where.
    pub set: Vec<(String, Origin)>,
}

impl Asked {
    /// Something else came out: what, and what to do about it.
    pub fn problem(&self, what: impl Into<String>, help: &str) -> Problem {
        let set = self
            .set
            .iter()
            .map(|(name, at)| format!("; `{name}` is set at {at}"));
        Problem::at(&self.at, what).help(help.to_owned() + &set.collect::<String>())
    }
}

/// An answer to a question that a package asks through debconf.
#[derive(Clone, Debug)]
pub struct Preseed {
    /// The package that is said to ask. Another one may.
    pub package: String,
    /// The question's name.
    pub question: String,
    /// Its type: `select`, `boolean` ...
    pub kind: String,
    /// The answer, which may be empty.
    pub value: String,
    /// Who asks for it.
    pub asked: Asked,
}

/// As `debconf-set-selections` reads it.
impl fmt::Display for Preseed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.package, self.question, self.kind)?;
        if !self.value.is_empty() {
            write!(f, " {}", self.value)?;
        }
        Ok(())
    }
}

impl Serialize for Preseed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What packages must have made of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    /// Absolute path.
    pub file: String,
    /// What it must be.
    pub must: Must,
    /// Who asks for it.
    #[serde(skip)]
    pub asked: Asked,
}

/// What a file of an [`Effect`] must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Must {
    /// One of its lines is this.
    Line(String),
    /// It leads where this absolute path does.
    Target(String),
}
