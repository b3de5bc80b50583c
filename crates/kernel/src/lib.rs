//! Portable and vector kernels: AES, PRG, garbling hash, bit transposes, modular arithmetic. The only crate with unsafe code.
