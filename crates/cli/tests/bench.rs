//! The papers' tables: the shape of the rows, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::Oribi;

#[test]
fn a_row_of_deepsecure_is_run_and_below_the_papers() {
    let oribi = Oribi::new();
    let rows = oribi.json(&["bench", "deepsecure", "--row", "benchmark 3", "--json"]);
    assert_eq!(rows.len(), 2);
    let figure = |row: usize, side: &str, name: &str| rows[row][side][name].as_f64().unwrap();
    for (index, name) in ["benchmark 3", "benchmark 3, first layer by transfers"].into_iter().enumerate() {
        let row = &rows[index];
        assert_eq!((row["table"].as_str(), row["row"].as_str()), (Some("deepsecure-3"), Some(name)));
        for column in ["xor_gates", "non_xor_gates", "communication_bytes", "execution_seconds"] {
            assert!(figure(index, "measured", column) > 0.0 && figure(index, "paper", column) > 0.0, "{row}");
        }
        assert!(figure(index, "measured", "non_xor_gates") < figure(index, "paper", "non_xor_gates"));
        assert!(row["note"].as_str().unwrap().contains("weights from a seed"));
    }
    let bytes = |row| figure(row, "measured", "communication_bytes");
    assert!(bytes(1) < bytes(0) / 5.0, "{rows:?}");
}

#[test]
fn elements_stand_beside_the_papers() {
    let oribi = Oribi::new();
    for (element, most) in [("ReLU", 15), ("DIV", 361), ("MULT, low half", 212), ("tanh, CORDIC", 3900)] {
        let rows = oribi.json(&["bench", "deepsecure", "--row", element, "--json"]);
        assert_eq!((rows.len(), rows[0]["table"].as_str()), (1, Some("deepsecure-2")), "{rows:?}");
        assert_eq!(rows[0]["paper"]["non_xor_gates"], most);
        assert!((1..=most).contains(&rows[0]["measured"]["non_xor_gates"].as_i64().unwrap()), "{rows:?}");
    }
}

#[test]
fn a_network_of_gazelle_is_run_with_its_phases_apart() {
    let oribi = Oribi::new();
    let rows = oribi.json(&["bench", "gazelle", "--row", "network C", "--json"]);
    let names: Vec<&str> = rows.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, ["network C", "network C, lan", "network C, wan", "network C, he-slots"]);
    for row in &rows {
        let figure = |side: &str, name: &str| row[side][name].as_f64().unwrap();
        for column in ["offline_bytes", "online_bytes"] {
            assert!(figure("measured", column) > 0.0 && figure("measured", column) < figure("paper", column));
        }
        assert_eq!(row["measured"]["activations"], 1080);
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let oribi = Oribi::new();
    for name in ["peers", "table"] {
        let text = oribi.refusal(2, &["bench", name]);
        assert!(text.contains(name) && text.contains("deepsecure"), "{text}");
    }
    assert!(oribi.refusal(2, &["bench", "deepsecure", "--data", "nowhere"]).contains("nowhere"));
    assert!(oribi.refusal(2, &["bench", "deepsecure", "--row", "none", "--json"]).contains("none"));
}
