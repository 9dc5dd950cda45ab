//! Whether what a recipe carries has room in its image.

use std::fmt::Write as _;

use anyhow::Result;
use clic_host::{UserError, figures};
use clic_image::layout::Layout;
use clic_recipe::Plan;

/// Refuses, with a table, what is hopeless already. `system`: bytes of all packages when installed, where that is known.
pub fn check(plan: &Plan, system: Option<u64>) -> Result<()> {
    let bundles = plan.bundles.iter().map(|bundle| (&bundle.name, bundle.size()));
    let services = plan.services.iter().map(|service| (&service.name, service.disk));
    let brought: Vec<_> = bundles.chain(services.filter(|(_, disk)| *disk > 0)).collect();
    let sizes = brought.iter().map(|(_, size)| *size).chain(system);
    let needed = sizes.fold(0, u64::saturating_add);
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
