//! The machine that CLIC! runs on: how we start processes, show progress, keep a log and stop.
//!
//! Every other room uses this one; it knows none of them.

pub mod cancel;
pub mod detach;
pub mod error;
pub mod figures;
pub mod lines;
pub mod log;
pub mod parallel;
pub mod plain;
pub mod process;
pub mod progress;
pub mod sha256;
pub mod spoil;

pub use cancel::Cancelled;
pub use detach::detach;
pub use error::UserError;
pub use log::Log;
pub use process::Cmd;
pub use progress::{Event, Outcome, Progress, Sink, Stage, Unit};
pub use sha256::Sha256;
