//! The papers' tables: the shape of the rows, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::Oribi;

#[test]
fn a_row_of_deepsecure_is_run_and_below_the_papers() {
    let oribi = Oribi::new();
    let rows = oribi.json(&["bench", "deepsecure", "--row", "benchmark 3", "--json"]);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row["table"].as_str(), row["row"].as_str()), (Some("deepsecure-3"), Some("benchmark 3")));
    let figure = |side: &str, name: &str| row[side][name].as_f64().unwrap();
    for name in ["xor_gates", "non_xor_gates", "communication_bytes", "execution_seconds"] {
        assert!(figure("measured", name) > 0.0 && figure("paper", name) > 0.0, "{row}");
    }
    assert!(figure("measured", "non_xor_gates") < figure("paper", "non_xor_gates"));
    assert!(row["note"].as_str().unwrap().contains("weights from a seed"));
}

#[test]
fn what_is_not_there_is_refused() {
    let oribi = Oribi::new();
    for name in ["gazelle", "table"] {
        let text = oribi.refusal(2, &["bench", name]);
        assert!(text.contains(name) && text.contains("deepsecure"), "{text}");
    }
    assert!(oribi.refusal(2, &["bench", "deepsecure", "--data", "nowhere"]).contains("nowhere"));
    assert!(oribi.refusal(2, &["bench", "deepsecure", "--row", "none", "--json"]).contains("none"));
}
