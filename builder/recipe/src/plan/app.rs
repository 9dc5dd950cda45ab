//! The plan's apps of `YunoHost`.

use std::collections::BTreeMap;

use clic_host::Sha256;
use serde::Serialize;

use super::Content;
use crate::source::Origin;

/// An app of `YunoHost`, installed while the image is built.
#[derive(Clone, Debug, Serialize)]
pub struct App {
    /// Its id in `YunoHost`: lower case letters, digits and `_`.
    pub id: String,
    /// The domain of `YunoHost` that it is on.
    pub domain: String,
    /// Whether that is the one that `YunoHost` has anyway.
    pub main_domain: bool,
    /// Where it comes from.
    pub source: AppSource,
    /// What the recipe answers to its questions, by question.
    pub arguments: BTreeMap<String, Argument>,
    /// Its permissions that are given while it is on: `main`.
    pub permissions: Vec<String>,
    /// Groups that get them.
    pub groups: Vec<String>,
    /// Whether its installation may reach the internet.
    pub network: bool,
    /// Seconds that its installation may take.
    pub timeout: u64,
    /// What its manifest says; of an archive it is not known before that is there.
    pub manifest: Option<Manifest>,
}

/// Where an [`App`] comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppSource {
    /// A directory of the tree that people edit.
    Directory {
        /// Path relative to the tree.
        path: String,
        /// What is in it, sorted by path.
        files: Vec<AppFile>,
    },
    /// An archive, known by its hash.
    Archive {
        /// Its address.
        url: String,
        /// SHA-256 of its bytes.
        sha256: Sha256,
        /// Bytes.
        size: u64,
    },
}

/// A file of an app's directory.
#[derive(Clone, Debug, Serialize)]
pub struct AppFile {
    /// Path relative to the directory.
    pub path: String,
    /// Its content.
    pub content: Content,
    /// Whether it can be run.
    pub executable: bool,
}

/// An answer to a question of an app's installation.
#[derive(Clone, Debug, Serialize)]
pub struct Argument {
    /// As `YunoHost` takes it.
    pub value: String,
    /// Where it is written.
    #[serde(skip)]
    pub origin: Origin,
}

/// What an app's `manifest.toml` says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The app's id.
    pub id: String,
    /// The least version of `YunoHost` that it runs on: `11.2.10`.
    pub yunohost: Option<String>,
    /// Debian architectures; `None`: all.
    pub architectures: Option<Vec<String>>,
    /// Bytes of memory while it is installed.
    pub ram_build: u64,
    /// Bytes of memory while it runs.
    pub ram: u64,
    /// Bytes on the disk.
    pub disk: u64,
    /// Debian packages that it names outright.
    pub packages: Vec<String>,
    /// What its installation asks.
    pub questions: BTreeMap<String, Question>,
}

/// A question of an app's installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// One that needs an answer.
    Open,
    /// One that `YunoHost` answers by itself if nobody does.
    Answered,
    /// A password that needs an answer.
    Password,
    /// One that can be left without a password.
    NoPassword,
    /// Who may use the app to begin with.
    Group,
    /// No question: something to read.
    Text,
}

/// What a question is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// This.
    Text(&'a str),
    /// A password that nobody knows, made while the image is built. People log in with `YunoHost`.
    Random,
}

impl App {
    /// The answers that are given to `manifest`'s questions, of an app at `path`, by question.
    pub fn answers<'a>(&'a self, path: &'a str, manifest: &'a Manifest) -> Vec<(&'a str, Answer<'a>)> {
        let own = |name: &str, question: Question| match (name, question) {
            (name, _) if self.arguments.contains_key(name) => self
                .arguments
                .get(name)
                .map(|argument| Answer::Text(&argument.value)),
            ("domain", _) => Some(Answer::Text(&self.domain)),
            ("path", _) => Some(Answer::Text(if path.is_empty() { "/" } else { path })),
            // Of several groups, the widest. YunoHost gives what is for visitors to its own people as well.
            ("init_main_permission", Question::Group) => ["visitors", "all_users", "admins"]
                .into_iter()
                .find(|group| self.groups.iter().any(|own| own == group))
                .map(Answer::Text),
            (_, Question::Password) => Some(Answer::Random),
            _ => None,
        };
        let all = manifest.questions.iter();
        all.filter_map(|(name, question)| Some((name.as_str(), own(name, *question)?)))
            .collect()
    }
}
