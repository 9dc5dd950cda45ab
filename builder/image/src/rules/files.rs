//! The files that overlays and the image room put into the tree.

use anyhow::Result;

use super::{Context, Findings};
use crate::embedded::{DescribedFile, DescribedKind, IMAGE_DESCRIPTION_PATH};
use crate::read::{Entry, EntryKind};

const HELP: &str = "a package's script or another step of the build changed it; bring it under another name, or see the build's log";

pub(super) fn description(cx: &Context, out: &mut Findings) -> Result<()> {
    match cx.image.description()? {
        None => out.add(
            format!("{IMAGE_DESCRIPTION_PATH} is missing"),
            "build the image again",
        ),
        Some(found) if found != cx.expected => {
            out.add(
                format!("{IMAGE_DESCRIPTION_PATH} does not describe the plan"),
                "build the image again",
            );
        }
        Some(_) => {}
    }
    Ok(())
}

pub(super) fn files(cx: &Context, out: &mut Findings) -> Result<()> {
    for file in &cx.expected.files {
        clic_host::cancel::check()?;
        match cx.root()?.stat(&file.path)? {
            None => out.add(format!("{} is missing ({})", file.path, owner(file)), HELP),
            Some(entry) => one(cx, file, &entry, out)?,
        }
    }
    Ok(())
}

fn owner(file: &DescribedFile) -> String {
    if file.from == "clic" {
        "of the image itself".into()
    } else {
        format!("overlay {}", file.from)
    }
}

fn one(cx: &Context, file: &DescribedFile, entry: &Entry, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let path = &file.path;
    let mut wrong = |what: &str, found: String, planned: &str| {
        out.add(
            format!("{path}: {what} is {found}; planned: {planned} ({})", owner(file)),
            HELP,
        );
    };
    let kind = match file.kind {
        DescribedKind::File { .. } => EntryKind::File,
        DescribedKind::Directory => EntryKind::Directory,
        DescribedKind::Symlink { .. } => EntryKind::Symlink,
    };
    if entry.kind != kind {
        wrong("type", entry.kind.to_string(), &kind.to_string());
        return Ok(());
    }
    match &file.kind {
        DescribedKind::File { sha256, size } => {
            if entry.size != *size {
                wrong("size", format!("{} bytes", entry.size), &format!("{size} bytes"));
            } else if root.sha256(path)? != *sha256 {
                wrong("content", "different".into(), &format!("sha256 {sha256}"));
            }
        }
        DescribedKind::Symlink { target } => {
            let found = root.read_link(path)?.unwrap_or_default();
            if found != target.as_bytes() {
                wrong("target", String::from_utf8_lossy(&found).into_owned(), target);
            }
        }
        DescribedKind::Directory => {}
    }
    if kind != EntryKind::Symlink && entry.mode != file.mode {
        wrong(
            "mode",
            format!("{:04o}", entry.mode),
            &format!("{:04o}", file.mode),
        );
    }
    for (what, name, found, planned) in [
        ("owner", &file.owner, entry.uid, cx.uid(&file.owner)?),
        ("group", &file.group, entry.gid, cx.gid(&file.group)?),
    ] {
        match planned {
            None => out.add(
                format!(
                    "{path}: {what} {name} does not exist in the image ({})",
                    owner(file)
                ),
                "let a package or sysusers.d bring the account",
            ),
            Some(id) if id != found => {
                out.add(
                    format!(
                        "{path}: {what} is {found}; planned: {name} ({id}) ({})",
                        owner(file)
                    ),
                    HELP,
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}
