//! Where a file comes from that somebody adds: this machine, or an address.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_host::UserError;
use clic_store::{FetchError, Learned, Store, encoded, file_url};

use super::talk;
use crate::context::Context;
use crate::output;

/// What is larger is asked about before it is downloaded, in bytes: some minutes over the lines that people have.
pub const LARGE: u64 = 100_000_000;

/// Where a file comes from.
#[derive(Debug)]
pub enum Place {
    /// A file of this machine, by its absolute path.
    Local(PathBuf),
    /// An address.
    Remote(String),
}

/// What may be downloaded.
pub struct Limits {
    /// Without a question.
    pub yes: bool,
    /// Most bytes.
    pub max: Option<u64>,
}

/// Somebody has to be asked before so many bytes are downloaded.
#[derive(Debug)]
struct Question(u64);

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to download", output::size(self.0))
    }
}

impl std::error::Error for Question {}

impl Place {
    /// What was meant by a path or address.
    pub fn of(text: &str) -> Result<Self> {
        let path = std::path::absolute(text)?;
        if path.is_file() {
            return Ok(Self::Local(path));
        }
        if let Some(scheme) = scheme(text) {
            return Self::address(text, &scheme);
        }
        let what = match path.symlink_metadata() {
            Ok(_) => format!("{} is neither a file nor a folder", path.display()),
            Err(_) => format!("there is no file {}", path.display()),
        };
        Err(UserError::new(what)
            .help("give the path of a file or folder, or an address that begins with https://")
            .into())
    }

    fn address(text: &str, scheme: &str) -> Result<Self> {
        if !["http", "https"].contains(&scheme) {
            return Err(UserError::new(format!("{text}: `{scheme}:` is not a kind of address that is read here"))
                .help("use one that begins with https:// or http://, or download the file yourself and give its path")
                .into());
        }
        let url = encoded(text);
        if !clic_recipe::is_address(&url) {
            return Err(UserError::new(format!("{text} is not the address of a file"))
                .help("write it like `https://example.org/books/candide.epub`, without a login")
                .into());
        }
        Ok(Self::Remote(url))
    }

    fn url(&self) -> String {
        match self {
            Self::Local(path) => file_url(path),
            Self::Remote(url) => url.clone(),
        }
    }

    /// Has the file in the store, after asking if it is large.
    pub fn learn(&self, limits: &Limits, store: &Store, context: &Context) -> Result<Learned> {
        let url = self.url();
        let shown = match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => url.clone(),
        };
        let name = shown.rsplit('/').next().unwrap_or(&shown);
        let learn = |agreed: Option<u64>| -> Result<Learned> {
            let stage = context.progress().stage("add", "Look at the file", &shown);
            let agree = |length| match (self, agreed) {
                (Self::Local(_), _) => Ok(u64::MAX),
                (Self::Remote(_), Some(agreed)) => Ok(agreed),
                (Self::Remote(_), None) => limits.agree(&url, length),
            };
            let learned = store.learn(&url, name, &agree, &stage);
            // A question is no failure.
            if learned.is_ok() || learned.as_ref().is_err_and(anyhow::Error::is::<Question>) {
                stage.finish();
            }
            learned
        };
        match learn(None) {
            Err(error) if error.is::<Question>() => {
                // Nothing of it has come. No stage is drawn while somebody thinks.
                let Some(Question(bytes)) = error.downcast_ref() else {
                    return Err(error);
                };
                ask(&url, *bytes, context)?;
                learn(Some(*bytes))
            }
            other => other.map_err(|error| too_large(error, limits)),
        }
    }
}

impl Limits {
    /// How many bytes may come from a server that says that it has `length`.
    fn agree(&self, url: &str, length: Option<u64>) -> Result<u64> {
        match (length, self.max) {
            (Some(length), Some(max)) if length > max => Err(UserError::new(format!(
                "{url} has {}, more than --max allows; nothing was downloaded",
                output::size(length)
            ))
            .into()),
            (Some(length), None) if length > LARGE && !self.yes => Err(Question(length).into()),
            (Some(length), _) => Ok(length),
            // One that does not say it could go on for ever.
            (None, max) => Ok(max.unwrap_or(LARGE)),
        }
    }
}

fn ask(url: &str, bytes: u64, context: &Context) -> Result<()> {
    let size = output::size(bytes);
    if context.json || !talk::asks() {
        return Err(
            UserError::new(format!("{url} has {size}; nothing was downloaded"))
                .help("`--yes` downloads it without asking, and `--max SIZE` all that is not larger")
                .into(),
        );
    }
    if talk::agreed(&format!("{url} has {size}. Download it (y/n)?"))? {
        return Ok(());
    }
    Err(UserError::new("nothing was downloaded, and nothing was changed").into())
}

fn too_large(error: anyhow::Error, limits: &Limits) -> anyhow::Error {
    let what = match error.downcast_ref() {
        Some(FetchError::TooLarge { .. }) if limits.max.is_none() => error.to_string(),
        _ => return error,
    };
    UserError::new(what)
        .help("its server does not say how large it is: `--max SIZE` takes more")
        .into()
}

/// The scheme of an address in lower case; none if the text is not one (RFC 3986, section 3.1).
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let inner = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(inner);
    is.then(|| scheme.to_ascii_lowercase())
}

/// Errors: a file that is certainly not what its name says, such as the page that a server sends in place of a book.
pub fn is_what_it_says(kept: &Path, name: &str, from: &str) -> Result<()> {
    let Some(what) = clic_content::mistaken(kept, name)? else {
        return Ok(());
    };
    Err(UserError::new(format!(
        "{from} is {what}, which is not what the name `{name}` says"
    ))
    .help(
        "open it and look: servers send a page in place of a file that they do not have, or want a login for",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_downloads_are_asked_about() {
        let limits = |yes, max| Limits { yes, max };
        let agreed = |limits: Limits, length| limits.agree("it", length).map_err(|error| error.to_string());
        assert_eq!(agreed(limits(false, None), Some(LARGE)), Ok(LARGE));
        let asked = limits(false, None).agree("it", Some(LARGE + 1)).unwrap_err();
        assert!(asked.is::<Question>(), "{asked}");
        assert_eq!(agreed(limits(true, None), Some(LARGE + 1)), Ok(LARGE + 1));
        assert_eq!(
            agreed(limits(false, Some(LARGE + 5)), Some(LARGE + 1)),
            Ok(LARGE + 1)
        );
        let said = agreed(limits(true, Some(5)), Some(6)).unwrap_err();
        assert_eq!(said, "it has 6 B, more than --max allows; nothing was downloaded");
        // Nobody knows how much comes, so there is an end to it whatever was said.
        assert_eq!(agreed(limits(true, None), None), Ok(LARGE));
        assert_eq!(agreed(limits(false, Some(7)), None), Ok(7));
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for (text, url) in [
            ("HTTP://example.org/A b.pdf", "http://example.org/A%20b.pdf"),
            ("https://example.org/a", "https://example.org/a"),
        ] {
            let Ok(Place::Remote(found)) = Place::of(text) else {
                panic!("{text}")
            };
            assert_eq!(found, url);
        }
        let said = |text| Place::of(text).err().unwrap().to_string();
        assert!(
            said("ftp://example.org/a")
                .starts_with("ftp://example.org/a: `ftp:` is not a kind of address that is read"),
            "{}",
            said("ftp://example.org/a")
        );
        assert!(said("HTTPS://me:secret@example.org/a").contains("is not the address of a file"));
        assert!(said("nothing://").contains("`nothing:` is not a kind"));
        assert!(said("C# pour tous?.pdf").contains("there is no file /"));
    }
}
