//! Whether what a recipe carries has room in its image.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use clic_host::{UserError, figures};
use clic_image::layout::Layout;
use clic_recipe::Plan;
use clic_recipe::plan::Bundle;
use clic_store::space;

/// Refuses, with a table, what is hopeless already. `system`: bytes of all packages when installed, where that is known.
pub fn check(plan: &Plan, system: Option<u64>) -> Result<()> {
    let needed = contents(plan, system);
    let bundles = plan.bundles.iter().map(|bundle| (&bundle.name, bundle.size()));
    let services = plan.services.iter().map(|service| (&service.name, service.disk));
    let brought: Vec<_> = bundles.chain(services.filter(|(_, disk)| *disk > 0)).collect();
    let Err(error) = Layout::estimate(&plan.disk, needed, plan.image_size) else {
        return Ok(());
    };
    if brought.is_empty() {
        return Err(error.into());
    }
    let rows: Vec<(&str, u64)> = system
        .iter()
        .map(|size| ("the system", *size))
        .chain(brought.iter().map(|(name, size)| (name.as_str(), *size)))
        .collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut what = error.what;
    what += "\nIt would contain:";
    for (name, size) in rows {
        // Writing to a String cannot fail.
        let _ = write!(what, "\n  {name:width$}  {}", figures::size(size));
    }
    let more = error.help.unwrap_or_else(|| "use a larger disk".to_owned());
    Err(UserError::new(what)
        .help(format!("leave out a bundle or a service, or {more}"))
        .into())
}

/// Bytes of what is known to come into the root file system.
fn contents(plan: &Plan, system: Option<u64>) -> u64 {
    let bundles = plan.bundles.iter().map(Bundle::size);
    let services = plan.services.iter().map(|service| service.disk);
    bundles.chain(services).chain(system).fold(0, u64::saturating_add)
}

/// Bytes of the image, about: it comes out somewhat larger (initramfs, structures of file systems). None if it fits nowhere.
pub fn image_size(plan: &Plan, system: u64) -> Option<u64> {
    let layout = Layout::estimate(&plan.disk, contents(plan, Some(system)), plan.image_size).ok()?;
    Some(layout.bytes())
}

/// Refuses what the disk of `out` has no room for, as far as that is known already. What is there of an earlier build is replaced
/// only once the new one is whole, and free space of an image takes none.
pub fn room(plan: &Plan, system: u64, out: &Path) -> Result<()> {
    // Services' data comes on the device.
    let bundles = plan.bundles.iter().map(Bundle::size);
    let needed = bundles.chain([system]).fold(0, u64::saturating_add);
    space::ensure(out, needed, "writing the image")
}
