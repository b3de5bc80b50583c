//! Outsourced predictions between three real processes, held against the integer reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, Server, model};
use serde_json::Value;

/// A server with the digits' network, and a proxy for it.
fn parties(oribi: &Oribi) -> (Server, Server) {
    let server = oribi.serve(&[&model("digits.onnx")]);
    let proxy = oribi.listen("proxy", &["--server", &server.address, "--fingerprint", &server.fingerprint]);
    (server, proxy)
}

/// The arguments that name both.
fn both<'a>(server: &'a Server, proxy: &'a Server) -> [&'a str; 8] {
    let (proxied, seen) = (proxy.address.as_str(), proxy.fingerprint.as_str());
    [
        "--server",
        &server.address,
        "--fingerprint",
        &server.fingerprint,
        "--proxy",
        proxied,
        "--proxy-fingerprint",
        seen,
    ]
}

#[test]
fn a_proxy_garbles_and_the_client_has_next_to_nothing_to_send() {
    let oribi = Oribi::new();
    let (server, proxy) = parties(&oribi);
    let digits = [model("digits/3.png"), model("digits/7.png")];
    let digits = [digits[0].as_str(), digits[1].as_str()];
    let network = model("digits.onnx");
    let reference = oribi.json(
        &[&["run", &network], &digits[..], &["--fixed", "--protocol", "deepsecure", "--json"]].concat(),
    );
    let lines = oribi.json(&[&["predict"], &digits[..], &both(&server, &proxy), &["--json"]].concat());
    assert_eq!(lines.len(), 2);
    for (line, wanted) in lines.iter().zip(&reference) {
        assert_eq!((&line["output"], &line["protocol"]), (&wanted["output"], &Value::from("deepsecure")));
        // Two shares of 784 words, and ten results twice.
        assert!(line["online"]["client_bytes"].as_u64().unwrap() < 5000, "{line}");
        assert!(line["online"]["server_bytes"].as_u64().unwrap() < 500, "{line}");
    }
    let label = oribi.json(
        &[&["predict", digits[1]], &both(&server, &proxy)[..], &["--output", "label", "--json"]].concat(),
    );
    assert_eq!((&label[0]["class"], &label[0]["output"]), (&Value::from(7), &Value::from(Vec::<f64>::new())));
    proxy.finish();
    server.finish();
}

#[test]
fn what_a_proxy_cannot_do_is_refused_in_words() {
    let oribi = Oribi::new();
    let (server, proxy) = parties(&oribi);
    let seven = model("digits/7.png");
    let text =
        oribi.refusal(1, &[&["predict", &seven, "--first-layer", "ot"], &both(&server, &proxy)[..]].concat());
    assert!(text.contains("first layers"), "{text}");
    // A client that takes the proxy for a server, and one that takes the server for a proxy.
    let (address, fingerprint) = (proxy.address.as_str(), proxy.fingerprint.as_str());
    let text = oribi.refusal(
        1,
        &["predict", &seven, "--server", address, "--fingerprint", fingerprint, "--protocol", "deepsecure"],
    );
    assert!(text.contains("proxy"), "{text}");
    // The server has gone.
    server.finish();
    let text = oribi.refusal(1, &["models", "--server", address, "--fingerprint", fingerprint]);
    assert!(text.contains("server"), "{text}");
    proxy.finish();
}

#[test]
fn base_transfers_are_those_that_were_asked_for_between_proxy_and_server_too() {
    let oribi = Oribi::new();
    let server = oribi.serve(&[&model("digits.onnx"), "--base-ot", "ml-kem"]);
    let proxy = oribi.listen("proxy", &["--server", &server.address, "--fingerprint", &server.fingerprint]);
    let seven = model("digits/7.png");
    let asking = |base: &'static str| {
        [&["predict", seven.as_str(), "--base-ot", base], &both(&server, &proxy)[..]].concat()
    };
    let lines = oribi.json(&[&asking("ml-kem")[..], &["--json"]].concat());
    assert_eq!(lines[0]["class"], Value::from(7));
    let text = oribi.refusal(1, &asking("ristretto"));
    assert!(text.contains("ristretto") && text.contains("ml-kem"), "{text}");
    proxy.finish();
    server.finish();
}
