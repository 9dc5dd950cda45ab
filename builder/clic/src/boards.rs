//! `clic boards`: the boards of the tree.

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

pub fn run(_: &Context) -> Result<Outcome> {
    bail!("listing boards is not there yet")
}
