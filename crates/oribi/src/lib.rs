//! Private neural-network inference: server, client, TLS transport, input files.

pub mod input;
