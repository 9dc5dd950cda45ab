//! The programs that builds and tests start, and the Debian packages that bring them.

use std::collections::BTreeMap;
use std::path::Path;

use clic_host::Cmd;
use clic_host::process::find;

/// A program that we start.
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// What prints its version.
    pub version: &'static [&'static str],
    /// What we need it for.
    pub role: &'static str,
}

/// All of them.
pub const TOOLS: &[Tool] = &[
    Tool {
        program: "apt-get",
        package: "apt",
        version: &["--version"],
        role: "resolves packages",
    },
    Tool {
        program: "gpgv",
        package: "gpgv",
        version: &["--version"],
        role: "verifies the archive's signatures",
    },
    Tool {
        program: "gpg",
        package: "gpg",
        version: &["--version"],
        role: "shows the fingerprints of keys",
    },
    Tool {
        program: "mke2fs",
        package: "e2fsprogs",
        version: &["-V"],
        role: "makes ext4",
    },
    Tool {
        program: "debugfs",
        package: "e2fsprogs",
        version: &["-V"],
        role: "prepares the copy that is tested",
    },
    Tool {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        version: &["--version"],
        role: "boots x86 images",
    },
    Tool {
        program: "qemu-system-aarch64",
        package: "qemu-system-arm",
        version: &["--version"],
        role: "boots arm64 images",
    },
];

/// Versions of all tools that are there, by name.
pub fn versions() -> BTreeMap<String, String> {
    let found = TOOLS.iter().filter_map(|tool| Some((tool, find(tool.program)?)));
    found
        .map(|(tool, path)| (tool.program.to_owned(), tool.version(&path)))
        .collect()
}

/// The version of one of our tools, if it is there.
pub fn version_of(program: &str) -> Option<String> {
    let tool = TOOLS.iter().find(|tool| tool.program == program)?;
    Some(tool.version(&find(program)?))
}

impl Tool {
    /// The version of the one at `path`.
    pub fn version(&self, path: &Path) -> String {
        let Ok(finished) = Cmd::new(path).clean_env().args(self.version).finish() else {
            return "version unknown".into();
        };
        let text = format!(
            "{}\n{}",
            String::from_utf8_lossy(&finished.stdout),
            finished.stderr
        );
        version_in(&text).unwrap_or("version unknown").to_owned()
    }
}

/// The first word of a program's answer that looks like a version.
fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || c == '(' || c == ')')
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(
            version_in("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS"),
            Some("1.47.0")
        );
        assert_eq!(
            version_in("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"),
            Some("7.2.22")
        );
        assert_eq!(version_in("gpgv (GnuPG) 2.2.40"), Some("2.2.40"));
        assert_eq!(version_in("no figures here"), None);
    }
}
