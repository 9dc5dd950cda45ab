//! A lock as text: TOML, a block for each package, sorted, so that version control shows what changed.

use std::fmt::{Display, Write as _};

use clic_recipe::plan::Arch;

use crate::inputs::SourceInput;
use crate::lock::{FORMAT, Lock};
use crate::resolution::{Package, Release};

/// The text of a lock file.
pub fn text(lock: &Lock) -> String {
    let inputs = &lock.inputs;
    let mut out = Writer(String::new());
    out.line(&format!(
        "# Written by `clic lock {} --board {}`. Change the recipe, not this file.",
        inputs.recipe, inputs.board
    ));
    out.line(&format!("format = {FORMAT}"));
    out.line(&format!("epoch = {}", lock.epoch));
    out.string("inputs-sha256", inputs.sha256());
    out.head("[inputs]");
    out.string("recipe", &inputs.recipe);
    out.string("board", &inputs.board);
    out.string("suite", &inputs.suite);
    out.string("arch", inputs.arch);
    out.list("components", &inputs.components);
    out.list("packages", &inputs.packages);
    out.list("board-packages", &inputs.board_packages);
    if !inputs.content_packages.is_empty() {
        out.list("content-packages", &inputs.content_packages);
    }
    for source in &inputs.sources {
        out.source(source);
    }
    for release in &lock.releases {
        out.release(release);
    }
    for package in &lock.packages {
        out.head("[[package]]");
        out.package(package, inputs.arch);
        let part = format!("{:?}", package.part).to_lowercase();
        out.string("part", &part);
        if package.automatic {
            out.line("automatic = true");
        }
    }
    for package in &lock.content {
        out.head("[[content]]");
        out.package(package, inputs.arch);
    }
    for (host, tools) in &lock.tools {
        for tool in tools {
            out.head("[[tool]]");
            out.string("host", host);
            out.package(tool, *host);
        }
    }
    out.0
}

struct Writer(String);

impl Writer {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn head(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text);
    }

    fn string(&mut self, key: &str, value: impl Display) {
        let value = quoted(&value.to_string());
        self.line(&format!("{key} = {value}"));
    }

    fn optional(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    /// A line for each element, so that one more is one line more.
    fn list(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            return self.line(&format!("{key} = []"));
        }
        self.line(&format!("{key} = ["));
        for value in values {
            let value = quoted(value);
            self.line(&format!("    {value},"));
        }
        self.line("]");
    }

    fn source(&mut self, source: &SourceInput) {
        self.head("[[inputs.source]]");
        self.string("name", &source.name);
        self.optional("address-sha256", source.address_sha256);
        self.optional("suite", source.suite.as_ref());
        if !source.components.is_empty() {
            self.list("components", &source.components);
        }
        self.optional("fingerprint", source.fingerprint.as_ref());
        self.optional("key-sha256", source.key_sha256);
        self.optional("directory", source.directory.as_ref());
        self.optional("files-sha256", source.files_sha256);
        if !source.packages.is_empty() {
            self.list("packages", &source.packages);
        }
        if let Some(priority) = source.priority {
            self.line(&format!("priority = {priority}"));
        }
    }

    fn release(&mut self, release: &Release) {
        self.head("[[release]]");
        self.string("source", &release.source);
        self.string("suite", &release.suite);
        self.list("components", &release.components);
        self.line(&format!("date = {}", release.date));
        self.string("sha256", release.sha256);
    }

    /// The architecture is only written where it is not `arch`, the usual one.
    fn package(&mut self, package: &Package, arch: Arch) {
        self.string("name", &package.name);
        self.string("version", &package.version);
        if package.arch != arch.debian() {
            self.string("arch", &package.arch);
        }
        self.string("source", &package.source);
        self.string("path", &package.filename);
        self.string("sha256", package.sha256);
        self.line(&format!("size = {}", package.size));
        self.line(&format!("installed-size = {}", package.installed_size));
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
