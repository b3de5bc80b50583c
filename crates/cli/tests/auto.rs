//! `--protocol auto` and measured links, between real processes: what is chosen is what `plan` recommends, and it predicts what the reference says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, Server, model};
use serde_json::Value;

/// Networks, links, what is revealed, and the reason why this is a case of its own.
const CASES: [(&str, &str, &str); 4] = [
    // ReLUs: lola cannot. Two links with different winners.
    ("digits.onnx", "loopback", "scores"),
    ("digits.onnx", "20mbit,10ms", "scores"),
    // A square: all can, but lola not for the label alone.
    ("lola_small.onnx", "loopback", "scores"),
    ("lola_small.onnx", "20mbit,10ms", "label"),
];

/// What `plan` recommends.
fn recommended(oribi: &Oribi, network: &str, link: &str, output: &str) -> String {
    let plan = &oribi.json(&["plan", network, "--link", link, "--output", output, "--json"])[0];
    assert_eq!(plan["link"], link);
    plan["recommended"]["protocol"].as_str().unwrap().to_owned()
}

/// The options of a link for a command that slows its side down.
fn slowed(link: &str) -> Vec<&str> {
    if link == "loopback" { vec![] } else { vec!["--link", link] }
}

/// Holds a line against the reference of its protocol: the same scores, or to a hundredth where shares of squares are truncated.
fn check(oribi: &Oribi, network: &str, input: &str, line: &Value) {
    let protocol = line["protocol"].as_str().unwrap();
    let wanted = &oribi.json(&["run", network, input, "--protocol", protocol, "--json"])[0];
    assert_eq!(line["class"], wanted["class"], "{line}");
    let scores = |line: &Value| {
        let scores = line["output"].as_array().unwrap();
        scores.iter().map(|score| score.as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let (scores, wanted) = (scores(line), scores(wanted));
    if scores.is_empty() {
        return;
    }
    assert_eq!(scores.len(), wanted.len());
    let top = wanted.iter().fold(1.0, |top: f64, score| top.max(score.abs()));
    let most = if protocol == "delphi" { top / 100.0 } else { 0.0 };
    assert!(scores.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= most), "{scores:?} and {wanted:?}");
}

fn peer(server: &Server) -> [&str; 4] {
    ["--server", &server.address, "--fingerprint", &server.fingerprint]
}

#[test]
fn run_computes_in_the_integers_of_what_is_cheapest_here() {
    let oribi = Oribi::new();
    let seven = model("digits/7.png");
    for network in ["digits.onnx", "lola_small.onnx"].map(model) {
        let chosen = recommended(&oribi, &network, "loopback", "scores");
        let run = |protocol: &str| oribi.json(&["run", &network, &seven, "--protocol", protocol, "--json"]);
        let auto = run("auto");
        assert_eq!(auto[0]["protocol"], run(&chosen)[0]["protocol"]);
        assert_eq!(auto[0]["output"], run(&chosen)[0]["output"]);
    }
}

#[test]
fn demo_runs_what_plan_recommends() {
    let oribi = Oribi::new();
    let seven = model("digits/7.png");
    for (name, link, output) in CASES {
        let network = model(name);
        let chosen = recommended(&oribi, &network, link, output);
        let base = ["demo", &network, &seven, "--protocol", "auto", "--output", output, "--json"];
        let line = &oribi.json(&[&base[..], &slowed(link)].concat())[0];
        assert_eq!(line["protocol"], chosen, "{name}, {link}, {output}");
        check(&oribi, &network, &seven, line);
    }
}

#[test]
fn serve_offers_first_and_predict_chooses_what_plan_recommends() {
    let oribi = Oribi::new();
    let seven = model("digits/7.png");
    let mut seen = std::collections::BTreeSet::new();
    for (name, link, output) in CASES {
        let network = model(name);
        let chosen = recommended(&oribi, &network, link, output);
        let server = oribi.serve(&[&[network.as_str(), "--protocol", "auto"][..], &slowed(link)].concat());
        let base =
            [&["predict", &seven, "--output", output, "--json"][..], &peer(&server), &slowed(link)].concat();
        // The server's first offer, and the client's own choice.
        for asked in [&[][..], &["--protocol", "auto"]] {
            let line = &oribi.json(&[&base[..], asked].concat())[0];
            assert_eq!(line["protocol"], chosen, "{name}, {link}, {output}, {asked:?}");
            check(&oribi, &network, &seven, line);
        }
        seen.insert(chosen);
        server.finish();
    }
    assert!(seen.len() >= 2, "one protocol is best everywhere, and nothing was tested: {seen:?}");
}

#[test]
fn predict_measures_the_link_where_it_is_not_told() {
    let oribi = Oribi::new();
    let (network, seven) = (model("lola_small.onnx"), model("digits/7.png"));
    let server = oribi.serve(&[&network, "--link", "20mbit,10ms"]);
    let base = [&["predict", &seven, "--protocol", "auto", "--json"][..], &peer(&server)].concat();
    let output = oribi.run(&base);
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The link that it names is the one that it chose by.
    let (_, link) = words.split_once("is cheapest on a link of ").unwrap_or_else(|| panic!("{words}"));
    let (link, _) = link.split_once(", as measured").unwrap_or_else(|| panic!("{words}"));
    assert_eq!(line["protocol"], recommended(&oribi, &network, link, "scores"), "{words}");
    check(&oribi, &network, &seven, &line);
    server.finish();

    // Where one protocol alone is offered there is nothing to measure.
    let server = oribi.serve(&[&network, "--protocol", "gazelle"]);
    let base = [&["predict", &seven, "--protocol", "auto", "--json"][..], &peer(&server)].concat();
    let output = oribi.run(&base);
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && words.contains("gazelle is all that it offers"), "{words}");
    server.finish();
}

#[test]
fn plan_prices_a_measured_link() {
    let oribi = Oribi::new();
    let network = model("digits.onnx");
    let server = oribi.serve(&[&network, "--protocol", "deepsecure", "--link", "50mbit/10mbit,20ms"]);
    let base = [&["plan", &network][..], &peer(&server)].concat();
    let plan = &oribi.json(&[&base[..], &["--json"]].concat())[0];
    let measured = |name: &str| plan["measured"][name].as_f64().unwrap_or_else(|| panic!("{plan}"));
    // The server slows its own half alone. Nothing is faster than its link; how much slower it looks is the machine's load.
    assert!((1e5..3e7).contains(&measured("down_bits_per_second")), "{plan}");
    assert!((0.010..5.0).contains(&measured("round_trip_seconds")), "{plan}");
    assert!(measured("up_bits_per_second") > 1e5 && measured("bytes") <= 16_777_216.0, "{plan}");
    assert!(measured("probes") <= 32.0, "{plan}");
    // What it is priced for is a link that can be given.
    let link = plan["link"].as_str().unwrap();
    let given = &oribi.json(&["plan", &network, "--link", link, "--json"])[0];
    assert_eq!(plan["recommended"], given["recommended"]);
    assert_eq!(
        (plan["choices"].as_array().unwrap(), &given["measured"]),
        (given["choices"].as_array().unwrap(), &Value::Null)
    );
    let words = oribi.stdout(&base);
    assert!(words.contains("measured    ") && words.contains("Mbit/s down, a round trip of"), "{words}");

    let refused = |status, arguments: &[&str]| oribi.refusal(status, &[&base[..], arguments].concat());
    assert!(refused(2, &["--link", "wan"]).contains("cannot be used with"));
    let other = "sha256:".to_owned() + &"0".repeat(64);
    let wrong = ["plan", &network, "--server", &server.address, "--fingerprint", &other];
    assert!(oribi.refusal(2, &wrong).contains("fingerprint"));
    assert!(oribi.refusal(2, &["plan", &network, "--fingerprint", &other]).contains("--server"));
    let address = server.address.clone();
    server.finish();
    let gone = ["plan", &network, "--server", &address, "--fingerprint", &other];
    assert!(oribi.refusal(1, &gone).contains("no server answers there"));
}
