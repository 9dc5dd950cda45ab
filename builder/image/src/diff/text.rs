//! A difference in words, for people.

use std::fmt::Write as _;

use clic_host::figures::{self, counted};
use clic_host::plain::one_line;

use super::{Difference, FileChangeKind, PackageChangeKind};

/// Lines of one section that the text shows; JSON has them all.
const MAX_LINES: usize = 200;

impl Difference {
    /// The difference for people.
    pub fn text(&self) -> String {
        if self.identical {
            return format!("{} and {} are identical\n", self.a, self.b);
        }
        let mut out = format!("{} -> {}\n", self.a, self.b);
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    /// All of it in one line: `56 packages added, 2 upgraded; 4 files changed`.
    fn summary(&self) -> String {
        let packages = |kind| {
            self.packages
                .iter()
                .filter(|change| change.change == kind)
                .count()
        };
        let files = |kind| self.files.iter().filter(|change| change.change == kind).count();
        let parts = [
            in_one(
                "package",
                &[
                    (packages(PackageChangeKind::Added), "added"),
                    (packages(PackageChangeKind::Removed), "removed"),
                    (packages(PackageChangeKind::Upgraded), "upgraded"),
                    (packages(PackageChangeKind::Downgraded), "downgraded"),
                ],
            ),
            in_one(
                "file",
                &[
                    (files(FileChangeKind::Added), "added"),
                    (files(FileChangeKind::Removed), "removed"),
                    (files(FileChangeKind::Changed), "changed"),
                ],
            ),
            in_one("detail", &[(self.partitions.len(), "of partitions changed")]),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            "no package and no file changed".to_owned()
        } else {
            parts.join("; ")
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}", self.summary())?;
        if let Some((a, b)) = self.size {
            writeln!(
                out,
                "size: {} -> {} ({a} -> {b} bytes)",
                figures::size(a),
                figures::size(b)
            )?;
        }
        let partitions = self.partitions.iter().map(|change| match change.what {
            "added" => format!("+ {} ({})", change.partition, change.to),
            "removed" => format!("- {} ({})", change.partition, change.from),
            what => format!("~ {}: {what} {} -> {}", change.partition, change.from, change.to),
        });
        section(out, "Partitions", partitions)?;
        let packages = self.packages.iter().map(|change| {
            let version = |version: &Option<String>| version.clone().unwrap_or_default();
            match change.change {
                PackageChangeKind::Added => format!("+ {} {}", change.name, version(&change.to)),
                PackageChangeKind::Removed => format!("- {} {}", change.name, version(&change.from)),
                kind => format!(
                    "~ {} {} -> {}{}",
                    change.name,
                    version(&change.from),
                    version(&change.to),
                    if kind == PackageChangeKind::Downgraded {
                        " (downgrade)"
                    } else {
                        ""
                    }
                ),
            }
        });
        section(out, "Packages", packages)?;
        let files = self.files.iter().map(|change| {
            let place = if change.partition == "root" {
                change.path.clone()
            } else {
                format!("{}:{}", change.partition, change.path)
            };
            match change.change {
                FileChangeKind::Added => format!("+ {place} ({})", figures::size(change.size.1.unwrap_or(0))),
                FileChangeKind::Removed => {
                    format!("- {place} ({})", figures::size(change.size.0.unwrap_or(0)))
                }
                FileChangeKind::Changed => {
                    let details: Vec<String> = change
                        .details
                        .iter()
                        .map(|detail| format!("{} {} -> {}", detail.what, detail.from, detail.to))
                        .collect();
                    let bytes = change
                        .content
                        .as_ref()
                        .map(|content| format!(", from byte {} on {}", content.offset, content.bytes))
                        .unwrap_or_default();
                    format!("~ {place}: {}{bytes}", details.join(", "))
                }
            }
        });
        section(out, "Files", files)?;
        if self.only_times > 0 {
            let files = counted(self.only_times, "file");
            let verb = if self.only_times == 1 { "differs" } else { "differ" };
            writeln!(out, "\n{files} {verb} in times only")?;
        }
        if self.partitions.is_empty()
            && self.packages.is_empty()
            && self.files.is_empty()
            && self.only_times == 0
        {
            writeln!(
                out,
                "partitions, packages and files are the same: what differs is below them (boot code, free space, \
                 file system structures, extended attributes)"
            )?;
        }
        if let Some(first) = &self.first_difference {
            let place = first
                .partition
                .as_ref()
                .map_or("outside of all partitions".into(), |name| format!("in {name}"));
            writeln!(
                out,
                "\nbytes differ from {} on ({place}): {}",
                first.offset, first.bytes
            )?;
        }
        Ok(())
    }
}

/// `56 packages added, 2 upgraded`. None if there is nothing of it.
fn in_one(one: &str, changes: &[(usize, &str)]) -> Option<String> {
    let changes: Vec<&(usize, &str)> = changes.iter().filter(|(count, _)| *count > 0).collect();
    let (first, others) = changes.split_first()?;
    let mut text = format!("{} {}", counted(first.0 as u64, one), first.1);
    for (count, what) in others {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {count} {what}");
    }
    Some(text)
}

fn section(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) -> std::fmt::Result {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "\n{title} ({count})")?;
    for line in lines.take(MAX_LINES) {
        writeln!(out, "  {}", one_line(&line))?;
    }
    if count > MAX_LINES {
        writeln!(out, "  ... and {} more (--json has them all)", count - MAX_LINES)?;
    }
    Ok(())
}
