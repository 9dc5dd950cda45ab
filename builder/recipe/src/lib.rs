//! Recipes, boards and overlays: from TOML to a validated [`Plan`].
//!
//! Pure: reads the tree that people edit, opens no socket, starts no process. Every error points at
//! file, line and column.

pub mod plan;
pub mod source;

pub use plan::Plan;
