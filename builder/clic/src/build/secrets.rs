//! Secrets that each device makes. While an image is baked, its first start makes throw-away ones, so that what needs them
//! runs; they do not come out.

use anyhow::Result;
use clic_image::first_start::{STEPS, Step, like};
use clic_rootfs::tarball::TarTree;

/// Where the secrets are.
#[derive(Debug)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// As the steps of the first start say that are in any of `trees`. A step that can't be read says nothing here: the image
    /// is refused for it in the end.
    pub fn declared<'a>(trees: impl IntoIterator<Item = &'a TarTree>) -> Result<Self> {
        let mut patterns = Vec::new();
        for tree in trees {
            for path in tree.below(STEPS) {
                let path = String::from_utf8_lossy(&path).into_owned();
                let text = tree.content(&path)?.unwrap_or_default();
                if let Ok(step) = Step::parse(&String::from_utf8_lossy(&text)) {
                    patterns.extend(step.secrets().map(str::to_owned));
                }
            }
        }
        Ok(Self(patterns))
    }

    /// Whether a path of a tree, without a slash at either end, is one of them.
    pub fn has(&self, path: &str) -> bool {
        let path = format!("/{path}");
        self.0.iter().any(|pattern| like(pattern, &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_those_that_steps_declare() {
        let (mut before, mut baked) = (TarTree::default(), TarTree::default());
        let step = |path: &str| format!("schema = 1\ntitle = \"x\"\nsecrets = [\"{path}\"]\n").into_bytes();
        before.write_file(&format!("{STEPS}/40-yunohost.toml"), step("/etc/certs/*/key.pem"));
        before.write_file(&format!("{STEPS}/41-wrong.toml"), b"no step".to_vec());
        baked.write_file(&format!("{STEPS}/70-wiki.toml"), step("/etc/wiki.key"));
        let secrets = Secrets::declared([&before, &baked]).unwrap();
        assert!(secrets.has("etc/certs/clic.internal/key.pem"));
        assert!(secrets.has("etc/wiki.key"));
        assert!(!secrets.has("etc/certs/clic.internal/crt.pem"));
        assert!(!secrets.has("etc/wiki.conf"));
    }
}
