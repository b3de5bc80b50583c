//! What this process has used of the machine.

use std::fs::File;
use std::io::Read;

/// Bytes of the kernel's report that are looked at.
const REPORT_BYTES: u64 = 64 << 10;

/// The largest resident set of this process so far, in bytes; 0 where the system does not tell.
pub fn peak_rss_bytes() -> u64 {
    let mut report = String::new();
    let read =
        File::open("/proc/self/status").and_then(|file| file.take(REPORT_BYTES).read_to_string(&mut report));
    if read.is_err() {
        return 0;
    }
    parse(&report).unwrap_or(0)
}

/// The line `VmHWM:   1234 kB`.
fn parse(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS: 1 kB\n"), Some(1234 * 1024));
        assert_eq!(parse("VmHWM: many kB"), None);
        assert_eq!(parse(""), None);
        #[cfg(target_os = "linux")]
        assert!(peak_rss_bytes() > 1 << 16);
    }
}
