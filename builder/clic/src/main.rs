//! clic
fn main() {}
