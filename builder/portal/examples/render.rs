//! Writes the portal of a site, to look at it: `cargo run -p clic-portal --example render -- SITE.toml DIR`.
//! Overlay `portal` has the nginx configuration that serves the directory; `tests/sample.toml` is a site to begin with.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(site), Some(directory), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: render SITE.toml DIR".into());
    };
    let site = toml::from_str(&std::fs::read_to_string(site)?)?;
    let directory = PathBuf::from(directory);
    for file in clic_portal::generate(&site)? {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, file.bytes)?;
    }
    Ok(())
}
