//! The programs that builds and tests start, and the Debian packages that bring them.

use std::collections::BTreeMap;
use std::path::Path;

use clic_host::Cmd;
use clic_host::process::find;

use super::{Finding, install};

/// A program that we start.
struct Tool {
    program: &'static str,
    package: &'static str,
    /// What prints its version.
    version: &'static [&'static str],
    /// What we need it for.
    role: &'static str,
}

const TOOLS: &[Tool] = &[
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

pub(super) fn look(findings: &mut Vec<Finding>) {
    findings.extend(TOOLS.iter().map(look_at));
}

/// Versions of all tools that are there, by name.
pub fn versions() -> BTreeMap<String, String> {
    let found = TOOLS.iter().filter_map(|tool| Some((tool, find(tool.program)?)));
    found
        .map(|(tool, path)| (tool.program.to_owned(), version(tool, &path)))
        .collect()
}

/// The version of one of our tools, if it is there.
pub fn version_of(program: &str) -> Option<String> {
    let tool = TOOLS.iter().find(|tool| tool.program == program)?;
    Some(version(tool, &find(program)?))
}

fn look_at(tool: &Tool) -> Finding {
    let id = format!("tool-{}", tool.program);
    match find(tool.program) {
        Some(path) => Finding::good(
            &id,
            tool.program,
            format!("{} ({})", version(tool, &path), tool.role),
        ),
        None => Finding::missing(
            &id,
            tool.program,
            format!("not found; it {}", tool.role),
            install(&[tool.package]),
        ),
    }
}

fn version(tool: &Tool, path: &Path) -> String {
    let Ok(finished) = Cmd::new(path).clean_env().args(tool.version).finish() else {
        return "version unknown".into();
    };
    let text = format!(
        "{}\n{}",
        String::from_utf8_lossy(&finished.stdout),
        finished.stderr
    );
    version_in(&text).unwrap_or("version unknown").to_owned()
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
    fn a_missing_tool_comes_with_the_command_that_brings_it() {
        let tool = Tool {
            program: "no-such-tool",
            package: "some-package",
            version: &[],
            role: "does things",
        };
        let finding = look_at(&tool);
        assert_eq!(finding.state, crate::doctor::State::Missing);
        assert_eq!(finding.detail, "not found; it does things");
        assert_eq!(
            finding.mend.as_deref(),
            Some("sudo apt-get install --yes --no-install-recommends some-package")
        );
    }

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
