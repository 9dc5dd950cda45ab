//! From exact packages to a configured Debian tree, as an ordinary user.
//!
//! ```text
//! Resolution ─▶ inside::job::Job ─▶ FileTree
//!  exact         done in a sandbox,   what it changed
//!  packages      in the engine's order
//! ```
//!
//! The packages' own scripts are run by the tree's own dpkg; everything else is ours.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod accel;
pub mod asked;
pub mod binfmt;
pub mod clean;
pub mod files;
pub mod inside;
mod own;
pub mod prefetch;
pub mod sandbox;
pub mod tools;

/// The engine's version: what another one made is not taken up.
pub const ENGINE: &str = env!("CLIC_ENGINE");

pub use own::{OWN_PROGRAM, own_program};
pub use sandbox::Sandbox;
