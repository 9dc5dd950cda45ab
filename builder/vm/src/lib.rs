//! clic-vm
