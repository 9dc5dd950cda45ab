//! From a plan to a configured Debian tree, as an ordinary user.
//!
//! ```text
//! Resolution ─▶ build ─▶ RootTree
//!  exact         stages in a sandbox,
//!  packages      layers in the store
//! ```
//!
//! The packages' own scripts are run by the tree's own dpkg; everything else is ours.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod accel;
mod ahead;
pub mod bake;
pub mod binfmt;
pub mod clean;
mod files;
pub mod inside;
mod layers;
mod makers;
pub mod sandbox;
mod stages;
mod steps;
pub mod tools;
pub mod tree;

/// The engine's version: what another one made is not taken up.
pub const ENGINE: &str = env!("CLIC_ENGINE");

pub use layers::Inputs;
pub use sandbox::Sandbox;
pub use stages::{Forecast, forecast};
pub use tree::{Installed, RootTree, TreeSpec, build};
