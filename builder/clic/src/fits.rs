//! Whether what a recipe carries has room in its image.

use std::fmt::Write as _;

use anyhow::Result;
use clic_host::UserError;
use clic_image::layout::Layout;
use clic_recipe::Plan;

use crate::output;

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
    let row = |name: &str, size: u64| vec![format!("  {name}"), output::size(size)];
    let mut rows: Vec<_> = system.iter().map(|size| row("the system", *size)).collect();
    rows.extend(brought.iter().map(|(name, size)| row(name, *size)));
    let mut what = error.what;
    let _ = write!(
        what,
        "\nWhat is to be in it:\n{}",
        output::table(&rows).trim_end()
    );
    let more = error.help.unwrap_or_else(|| "take a larger disk".to_owned());
    Err(UserError::new(what)
        .help(format!("leave out a bundle or a service, or {more}"))
        .into())
}
