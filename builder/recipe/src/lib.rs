//! Recipes, boards and overlays: from TOML to a validated [`Plan`].
//!
//! Pure: reads the tree that people edit, opens no socket, starts no process. Every error points at
//! file, line and column.
//!
//! ```text
//! raw (what is written) -> recipe, board, overlay (checked) -> resolve (put together) -> plan
//! ```

mod app;
mod board;
mod bundle;
mod bundle_files;
mod checker;
mod debian;
mod disk;
mod document;
mod draft;
mod effect;
mod first_boot;
mod keys;
mod listing;
mod loader;
mod manifest;
mod merge;
mod nearest;
mod needs;
mod only;
mod overlay;
mod overlay_files;
mod overlay_slips;
mod pages;
mod parameter;
pub mod plan;
mod provides;
mod raw;
mod recipe;
mod reference;
mod report;
mod resolve;
mod schema;
mod service;
mod size;
pub mod source;
mod sources;
mod template;
mod tree;

pub use app::{MOST as MOST_OF_APP, manifest_of};
pub use board::Power;
pub use bundle::{is_address, language, licence, licence_advice, same_place, served};
pub use bundle_files::is_litter;
pub use keys::AuthorizedKeys;
pub use listing::{BoardInfo, Checked, OverlayInfo, RecipeInfo, check, check_with};
pub use nearest::nearest;
pub use parameter::ParameterInfo;
pub use plan::Plan;
pub use reference::overlays_page;
pub use report::{Problem, ProblemEntry, Report};
pub use resolve::{ResolveOptions, resolve, resolve_without_keys};
pub use schema::schemas;
pub use sources::{AbsentKey, MOST_KEY, public_key};
pub use tree::{Kind, Tree};
