//! Boots an image in QEMU and judges it.
//!
//! The image is never changed: a clone is booted, and the tester's way in (a small agent behind the second serial port) is
//! put into the clone only. Which machines, how long and what must be true, the image says itself
//! ([`clic_image::embedded`]).

pub mod accel;
pub mod agent;
pub mod bake;
pub mod checks;
pub mod clone;
pub mod console;
pub mod cuts;
pub mod guest;
pub mod judge;
pub mod qemu;
pub mod qmp;
pub mod raspi;
mod record;
pub mod report;
#[cfg(test)]
mod spoiled;
mod terminal;
mod test;

pub use accel::{Accel, AccelChoice};
pub use console::Cause;
pub use qemu::Target;
pub use report::{Case, MachineReport, Report, Status, Verdict};
pub use test::{TestOptions, test};
