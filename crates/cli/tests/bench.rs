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
fn a_network_of_delphi_is_run_on_each_link_and_from_a_store() {
    let oribi = Oribi::new();
    let rows = oribi.json(&["bench", "delphi", "--row", "network C", "--json"]);
    let names: Vec<&str> = rows.iter().map(|row| row["row"].as_str().unwrap()).collect();
    let expected = ["network C", "network C, stored"];
    let links = ["", ", lan", ", wan"];
    assert_eq!(
        names,
        links.iter().flat_map(|link| expected.map(|name| format!("{name}{link}"))).collect::<Vec<_>>()
    );
    for row in &rows {
        let measured = |name: &str| row["measured"][name].as_f64().unwrap_or(0.0);
        let stored = row["row"].as_str().unwrap().contains("stored");
        assert!(measured("online_seconds") > 0.0 && measured("online_bytes") > 400_000.0, "{row}");
        assert_eq!((measured("preparing_seconds") > 0.0, measured("offline_bytes") > 0.0), (stored, !stored));
        assert_eq!(row["measured"]["garbled_activations"], 1080);
    }
}

#[test]
fn tables_and_figures_of_delphi_stand_beside_the_papers() {
    let oribi = Oribi::new();
    let row = |name: &str| oribi.json(&["bench", "delphi", "--row", name, "--json"]);
    let figure = |row: &serde_json::Value, side: &str, name: &str| row[side][name].as_f64().unwrap();
    for name in ["ReLU", "quadratic"] {
        let rows = row(name);
        let of: Vec<_> = rows.iter().filter(|row| row["table"] == "delphi-3").collect();
        for column in ["offline_bytes_each", "online_bytes_each"] {
            assert!(
                figure(of[0], "measured", column) > 0.0 && figure(of[0], "paper", column) > 0.0,
                "{rows:?}"
            );
        }
    }
    let tables: Vec<_> = row("convolution 8x8x64");
    let names: Vec<_> = tables.iter().map(|row| row["table"].as_str().unwrap()).collect();
    assert!(names.contains(&"delphi-1") && names.contains(&"delphi-2"), "{names:?}");
    let folder = oribi.folder().join("plots");
    std::fs::create_dir(&folder).unwrap();
    let plots = folder.to_str().unwrap();
    let figures = oribi.json(&["bench", "delphi", "--row", "figure", "--plots", plots, "--json"]);
    assert!(figures.iter().all(|row| row["table"] == "delphi-figures"));
    let garbled = |row: &serde_json::Value| figure(row, "measured", "online_bytes");
    assert!(figures.windows(2).all(|pair| garbled(&pair[1]) < garbled(&pair[0])), "{figures:?}");
    for name in ["delphi-online.svg", "delphi-offline.svg", "delphi-stored.svg"] {
        assert!(std::fs::read_to_string(folder.join(name)).unwrap().starts_with("<svg"), "{name}");
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
