//! The `oribi` program.

fn main() {}
