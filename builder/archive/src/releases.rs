//! The Release files that apt came by: the state of each archive, and its date.

use std::path::Path;

use anyhow::{Context, Result};
use clic_debian::date;
use clic_debian::uri::without_login;
use clic_host::Sha256;
use clic_store::space;

use crate::apt::{self, Apt, Line, Trust};
use crate::resolution::Release;

/// The Release files that the indexes came by.
pub(crate) fn releases(apt: &Apt) -> Result<Vec<Release>> {
    let lists = apt.lists()?;
    let mut releases = Vec::new();
    // A directory has no state but that of its files.
    let archives = |line: &&Line| !matches!(line.trust, Trust::Directory { .. });
    for line in apt.lines().iter().filter(archives) {
        let path = apt::release(line, &lists);
        let path = path.with_context(|| {
            format!(
                "apt kept no Release file of {} {}",
                without_login(&line.url),
                line.suite
            )
        })?;
        releases.push(release(path, line)?);
    }
    Ok(releases)
}

pub(crate) fn release(path: &Path, line: &Line) -> Result<Release> {
    let sha256 = Sha256::of_file(path).map_err(|error| space::io_error(error, path))?;
    let text = std::fs::read(path).map_err(|error| space::io_error(error, path))?;
    let text = String::from_utf8_lossy(&text);
    let date = text
        .lines()
        .find_map(|line| line.strip_prefix("Date:"))
        .and_then(|date| date::parse(date.trim()));
    let date = date.with_context(|| {
        format!(
            "the Release file of {} {} has no date",
            without_login(&line.url),
            line.suite
        )
    })?;
    Ok(Release {
        source: line.source.clone(),
        url: without_login(&line.url),
        suite: line.suite.clone(),
        components: line.components.clone(),
        date,
        sha256,
    })
}
