//! clic-store
