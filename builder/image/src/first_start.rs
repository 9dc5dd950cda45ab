//! Steps of an image's first start (overlay `base`), as far as they say which secrets each device makes.

use glob::{MatchOptions, Pattern};
use serde::Deserialize;

/// Where the steps are in an image.
pub const STEPS: &str = "/usr/lib/clic/first-boot.d";

/// A step: what it says of secrets, of all that it says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// What it makes.
    pub title: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    never_in_image: Vec<String>,
    #[serde(default)]
    made_on_device: Vec<String>,
    #[serde(default)]
    file: Vec<File>,
    #[serde(default)]
    certificate: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
struct File {
    path: String,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    key: String,
}

impl Step {
    /// Reads a step's file. Errors: what is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// Absolute paths of secrets that no image has; a part of one may have `*` and `?`.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let made = self.file.iter().map(|file| &file.path);
        let keys = self.certificate.iter().map(|certificate| &certificate.key);
        made.chain(keys)
            .chain(&self.secrets)
            .chain(&self.never_in_image)
            .map(String::as_str)
    }

    /// Absolute paths, as those of [`Step::secrets`], of what packages make when they are installed, and the step makes again where it
    /// is missing: no secret, but different each time. All below a directory is meant, too.
    pub fn made_on_device(&self) -> impl Iterator<Item = &str> {
        self.made_on_device.iter().map(String::as_str)
    }
}

/// A pattern of [`Step::secrets`] or [`Step::made_on_device`].
#[derive(Clone, Debug)]
pub struct Like(Pattern);

impl Like {
    /// Reads one. Nothing is like a text that is no pattern.
    pub fn new(pattern: &str) -> Option<Self> {
        Pattern::new(pattern).ok().map(Self)
    }

    /// Whether an absolute path, or a directory above it, is like it.
    pub fn has_above(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| end > 0 && self.has(&path[..end]))
    }

    /// Whether an absolute path is like it, part by part.
    pub fn has(&self, path: &str) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        self.0.matches_with(path, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_of_all_secrets() {
        let step = Step::parse(
            r#"schema = 1
title = "wiki"
before = ["wiki.service"]
secrets = ["/etc/wiki/*.key"]
never-in-image = ["/etc/wiki/old"]
made-on-device = ["/var/lib/wiki"]
[[value]]
name = "x"
[[file]]
path = "/etc/wiki/token"
text = "@x@"
[[certificate]]
key = "/etc/wiki/tls.key"
certificate = "/etc/wiki/tls.pem"
names = ["wiki"]
"#,
        )
        .unwrap();
        let told: Vec<&str> = step.secrets().collect();
        assert_eq!(
            told,
            [
                "/etc/wiki/token",
                "/etc/wiki/tls.key",
                "/etc/wiki/*.key",
                "/etc/wiki/old"
            ]
        );
        assert_eq!(step.made_on_device().collect::<Vec<_>>(), ["/var/lib/wiki"]);
        assert!(Step::parse("schema = 1\n").unwrap_err().contains("title"));
    }

    #[test]
    fn all_below_a_directory_is_of_its_pattern() {
        let like = Like::new("/var/lib/postgresql/*/main").unwrap();
        for (path, expected) in [
            ("/var/lib/postgresql/15/main", true),
            ("/var/lib/postgresql/15/main/global/pg_control", true),
            ("/var/lib/postgresql/15/main2/global", false),
            ("/var/lib/postgresql/15", false),
        ] {
            assert_eq!(like.has_above(path), expected, "{path}");
        }
    }

    #[test]
    fn patterns_do_not_go_down() {
        for (pattern, path, expected) in [
            ("/etc/dkim/*.mail.key", "/etc/dkim/clic.internal.mail.key", true),
            ("/etc/dkim/*.mail.key", "/etc/dkim/old/x.mail.key", false),
            (
                "/etc/*-history/*/key.pem",
                "/etc/x-history/1-selfsigned/key.pem",
                true,
            ),
            ("/etc/yunohost/psql", "/etc/yunohost/psql", true),
            ("/etc/yunohost/psql", "/etc/yunohost/psql.new", false),
            ("/etc/[", "/etc/[", false),
        ] {
            let like = Like::new(pattern).is_some_and(|pattern| pattern.has(path));
            assert_eq!(like, expected, "{pattern} {path}");
        }
    }
}
