//! The portal: from a [`Site`] to the static pages that a device shows to the people around it.
//!
//! Pure: no network, no process, no file. The same site gives the same bytes.
//!
//! ```text
//! Site (what is there) -> check (is it safe to show) -> view (in words, per language) -> render (HTML)
//! ```
//!
//! On the device the pages live in `/usr/share/clic/portal/`, content below `/srv/clic/content/<bundle>/`, served as
//! `/content/<bundle>/`; overlay `portal` has the nginx side. What a bundle says about itself is a stranger's text: it
//! is escaped in pages, percent-encoded in links, and refused where no form of it is harmless.

mod check;
mod icons;
mod licence;
mod link;
mod media;
mod qr;
mod render;
mod site;
mod strings;
mod view;
mod works;

pub use check::{MAX_TEXT, Problems};
pub use render::{File, generate};
pub use site::{
    Bundle, Edition, Entry, Hotspot, Kind, Language, Licence, Security, Service, Site, State, Texts,
};
