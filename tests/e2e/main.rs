//! End-to-end tests: the real `clic`, real Debian packages, real QEMU, as an ordinary user.
//!
//! They share the images that they build (see [`support::image`]) and take turns at heavy work (see
//! [`turn::turn`]).

mod asked;
mod bake;
mod boot;
mod broken;
mod clic;
mod device;
mod doors;
mod events;
mod faults;
mod inspect;
mod interrupted;
mod mirror;
mod nomad;
mod readme;
mod reproducible;
mod scripts;
mod signed;
mod standin;
mod support;
mod trust;
mod turn;
mod unresolvable;
mod world;
mod zoo;
