//! Orders the work: one list of layers for an image, which `plan` forecasts and `build` has made.
//!
//! ```text
//! plan ─▶ Packages::resolve ─▶ Image ─▶ Pipeline ─┬▶ forecast     what the store has
//!          exact packages       files,   layers,   └▶ run          an image under its name
//!                               ids      keys
//! ```
//!
//! [`pipeline`] has the whole way of a build on one screen; [`make`] does what a [`layer`] says.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "short texts, where clarity counts and speed does not"
)]

pub mod apps;
mod build;
mod compared;
pub mod counted_on;
mod finished;
pub mod fits;
pub mod image;
pub mod inputs;
mod kept;
pub mod kernels;
pub mod layer;
pub mod make;
mod outputs;
pub mod pipeline;
mod portal;
pub mod refused;
pub mod resolution;
mod secrets;
mod services;
#[cfg(test)]
mod testing;
mod timings;
pub mod tools;

pub use build::{build, forecast};
pub use make::Options;
pub use outputs::{OutputFile, Written};
pub use pipeline::{Forecast, Pipeline};
pub use timings::Timings;
