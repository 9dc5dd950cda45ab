//! From names to exact packages: where Debian comes from, whom it is believed, what apt chooses, and the lock that says so.
//!
//! ```text
//! Mirrors::find ─▶ resolve ─▶ Resolution::have
//!  where from      exact        .debs in the store
//!                  versions
//! ```
//!
//! apt resolves and verifies signatures, with a configuration of its own.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod apt;
pub mod host;
mod index;
mod indexes;
pub mod inputs;
pub mod key;
pub mod lock;
pub mod mirror;
mod options;
pub mod parts;
mod releases;
pub mod resolution;
mod resolve;
mod sources;
#[cfg(test)]
mod spoiled;
pub mod tools;
mod unknown;

pub use host::HostApt;
pub use inputs::Inputs;
pub use key::{Key, Pins};
pub use lock::Lock;
pub use mirror::Mirrors;
pub use options::{Keep, ResolveOptions};
pub use parts::Part;
pub use resolution::{Package, Release, Resolution};
pub use resolve::{lock, resolve};
