//! From a plan to a configured Debian tree, as an ordinary user.
//!
//! ```text
//! Mirrors::find ─▶ resolve ─▶ Resolution::have ─────▶ build ─▶ RootTree
//!  where from      exact        .debs in the store     stages in a sandbox,
//!                  versions                            layers in the store
//! ```
//!
//! apt resolves and verifies signatures, with a configuration of its own. Everything after that is ours, but for the
//! packages' own scripts, which the tree's own dpkg runs.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod accel;
mod ahead;
pub mod app;
pub mod apt;
pub mod bake;
pub mod binfmt;
pub mod clean;
pub mod content;
mod files;
mod indexes;
pub mod inside;
pub mod key;
mod layers;
pub mod lock;
pub mod mirror;
pub mod parts;
pub mod resolution;
pub mod resolve;
pub mod sandbox;
mod sources;
mod stages;
mod steps;
pub mod tools;
pub mod tree;
mod unknown;

/// The engine's version: what another one made is not taken up.
pub const ENGINE: &str = env!("CLIC_ENGINE");

pub use key::{Key, Pins};
pub use layers::Inputs;
pub use lock::Lock;
pub use mirror::Mirrors;
pub use parts::Part;
pub use resolution::{Package, Release, Resolution};
pub use resolve::{Keep, ResolveOptions, lock, resolve, with_host_proxies};
pub use sandbox::Sandbox;
pub use stages::{Forecast, forecast};
pub use tree::{Installed, RootTree, TreeSpec, build};
