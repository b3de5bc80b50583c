//! Garbling and evaluation rates beside the machine's own AES rate. `cargo bench` in this directory; `ORIBI_TIER`
//! forces a tier.
