//! From a plan to a configured Debian tree, as an ordinary user.
//!
//! ```text
//! Mirrors::find ─▶ resolve ─▶ Resolution::download ─▶ build ─▶ RootTree (a canonical tar file)
//!  where from      exact        .debs in the store     in a sandbox of namespaces
//!                  versions
//! ```
//!
//! apt resolves and verifies signatures, with a configuration of its own. What configures the tree is behind
//! [`build`]: [`mmdebstrap`](https://manpages.debian.org/mmdebstrap) for now.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod accel;
pub mod apt;
pub mod binfmt;
pub mod clean;
mod control;
mod files;
pub mod mirror;
mod mmdebstrap;
pub mod resolve;
pub mod sandbox;
mod tarball;
pub mod tree;
mod unknown;

pub use control::show_date;
pub use mirror::Mirrors;
pub use resolve::{Package, Release, Resolution, ResolveOptions, resolve, with_host_proxies};
pub use sandbox::Sandbox;
pub use tree::{Installed, RootTree, TreeSpec, build};
