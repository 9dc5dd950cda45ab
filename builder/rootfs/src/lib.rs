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

pub mod apt;
pub mod binfmt;
pub mod clean;
mod control;
mod files;
mod indexes;
pub mod lock;
pub mod mirror;
mod mmdebstrap;
pub mod parts;
pub mod resolution;
pub mod resolve;
pub mod sandbox;
mod sources;
mod tarball;
pub mod tools;
pub mod tree;
mod unknown;

pub use control::show_date;
pub use lock::Lock;
pub use mirror::Mirrors;
pub use parts::Part;
pub use resolution::{Package, Release, Resolution};
pub use resolve::{Keep, ResolveOptions, lock, resolve, with_host_proxies};
pub use sandbox::Sandbox;
pub use tree::{Installed, RootTree, TreeSpec, build};
