//! What `--version` says.

use std::sync::OnceLock;

/// Version, commit and vector tier.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        format!(
            "{} (commit {}, vectors {})",
            env!("CARGO_PKG_VERSION"),
            env!("ORIBI_COMMIT"),
            oribi::vector_tier()
        )
    })
}
