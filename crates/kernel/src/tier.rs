//! Which instructions the kernels use: the one place that asks the processor.

use std::sync::OnceLock;

/// A set of instructions, from the plainest to the widest. Each kernel documents which tiers it tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Plain Rust, no processor extension.
    Portable,
    /// AES-NI, SSSE3, SSE4.1 and carry-less products, on 128-bit registers.
    AesNi,
    /// AVX-512 (F, BW, DQ, VL, IFMA, VBMI) with VAES and GFNI, on 512-bit registers.
    Avx512,
}

/// The environment variable that forces a tier: `portable`, `aesni` or `avx512`.
pub const TIER_VARIABLE: &str = "ORIBI_TIER";

impl Tier {
    /// All tiers, plainest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::AesNi, Self::Avx512];

    /// The tier in use: the widest that this processor has, or a plainer one that [`TIER_VARIABLE`] names.
    pub fn current() -> Self {
        static CURRENT: OnceLock<Tier> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let widest = Self::widest();
            match std::env::var(TIER_VARIABLE).ok().and_then(|name| Self::from_name(&name)) {
                Some(forced) => forced.min(widest),
                None => widest,
            }
        })
    }

    /// The tiers that this processor can run, for tests that hold every backend to the same answers.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|tier| *tier <= Self::widest())
    }

    /// This tier, or the widest that the processor has if that is plainer. Every dispatch goes through it, so that
    /// asking for a tier can never reach an instruction that is not there.
    pub fn or_widest(self) -> Self {
        static WIDEST: OnceLock<Tier> = OnceLock::new();
        self.min(*WIDEST.get_or_init(Self::widest))
    }

    /// `portable`, `aesni` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::AesNi => "aesni",
            Self::Avx512 => "avx512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    #[cfg(target_arch = "x86_64")]
    fn widest() -> Self {
        let aesni = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("pclmulqdq");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("vaes");
        match (aesni, avx512) {
            (true, true) => Self::Avx512,
            (true, false) => Self::AesNi,
            _ => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn widest() -> Self {
        Self::Portable
    }
}
