//! Wrong arguments, files and servers: the exit status, a few lines of words, never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::net::TcpListener;

use common::{Oribi, model};

#[test]
fn wrong_arguments() {
    let oribi = Oribi::new();
    let text = oribi.refusal(2, &[]);
    assert!(text.contains("demo") && text.contains("predict"), "{text}");
    assert!(oribi.refusal(2, &["frobnicate"]).contains("frobnicate"));
    assert!(oribi.refusal(2, &["run"]).contains("MODEL"));
    assert!(oribi.refusal(2, &["run", "--colour", "x"]).contains("--colour"));
    assert!(oribi.refusal(2, &["predict", "x.png"]).contains("--server"));
    for (command, rest) in [("demo", vec![]), ("serve", vec!["m.onnx"]), ("inspect", vec!["m.onnx"])] {
        for absent in ["cheetah", "best"] {
            let arguments = [vec![command], rest.clone(), vec!["--protocol", absent]].concat();
            let text = oribi.refusal(2, &arguments);
            assert!(text.contains(absent) && text.contains("deepsecure"), "{text}");
        }
    }
    assert!(oribi.refusal(2, &["demo", "--link", "slow"]).contains("100mbit,40ms"));
    assert!(oribi.refusal(2, &["demo", "--output", "all"]).contains("label"));
    assert!(oribi.refusal(2, &["run", "m", "i", "--float", "--fixed"]).contains("--fixed"));
}

#[test]
fn wrong_models() {
    let oribi = Oribi::new();
    let whole = std::fs::read(model("digits.onnx")).unwrap();
    let missing = oribi.folder().join("missing.onnx");
    let missing = missing.to_str().unwrap();
    let cut = oribi.file("cut.onnx", &whole[..whole.len() / 2]);
    let empty = oribi.file("empty.onnx", b"");
    let garbage = oribi.file("garbage.onnx", &[0xab; 5000]);
    let digit = model("digits/7.png");
    for path in [missing, &cut, &empty, &garbage, oribi.folder().to_str().unwrap()] {
        assert!(oribi.refusal(2, &["inspect", path]).contains(path));
        assert!(oribi.refusal(2, &["run", path, &digit]).contains(path));
        assert!(oribi.refusal(2, &["serve", path, "--listen", "127.0.0.1:0"]).contains(path));
        assert!(oribi.refusal(2, &["demo", path]).contains(path));
    }
    // A graph whose only node is a ReLU of an initializer.
    let constant = b"\x08\x08:3\n\x0c\n\x01w\x12\x01y\"\x04Relu\x12\x01g*\x15\x08\x03\x10\x01B\x01wJ\x0c\xcd\xcc\xcc=\xcd\xcc\xcc=\xcd\xcc\xcc=b\t\n\x01y\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11";
    let constant = oribi.file("constant.onnx", constant);
    let text = oribi.refusal(2, &["serve", &constant, "--listen", "127.0.0.1:0"]);
    assert!(text.contains(&constant) && text.contains("no input"), "{text}");
    let named = oribi.file("named.onnx", &whole);
    oribi.file("named.oribi.toml", b"lables = []\n");
    let text = oribi.refusal(2, &["inspect", &named]);
    assert!(text.contains("named.oribi.toml") && text.contains("lables"), "{text}");
}

#[test]
fn wrong_inputs() {
    let oribi = Oribi::new();
    let digits = model("digits.onnx");
    let png = std::fs::read(model("digits/7.png")).unwrap();
    let cut = oribi.file("cut.png", &png[..100]);
    let idx = oribi.file("short-idx", &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3]);
    let json = oribi.file("list.json", b"[1, 2, 3]");
    let text = oribi.file("notes.txt", b"a seven");
    for (path, word) in [
        (cut.as_str(), "truncated"),
        (&idx, "short"),
        (&json, "1x1x28x28"),
        (&text, "PNG"),
        ("/no/such.png", "no such file"),
        ("builtin:digits", "no such file"),
    ] {
        let said = oribi.refusal(2, &["run", &digits, path]);
        assert!(said.contains(word) && said.contains(path), "{said}");
        let said = oribi.refusal(2, &["demo", &digits, path, "--json"]);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn wrong_addresses() {
    let oribi = Oribi::new();
    let digit = model("digits/7.png");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = oribi.refusal(1, &["predict", &digit, "--server", &free]);
    assert!(text.contains(&free), "{text}");
    let text = oribi.refusal(1, &["models", "--server", &free]);
    assert!(text.contains(&free), "{text}");
    assert!(oribi.refusal(2, &["predict", &digit, "--server", "nonsense"]).contains("nonsense"));
    let digits = model("digits.onnx");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(oribi.refusal(2, &["serve", &digits, "--listen", &address]).contains(&address));
    assert!(oribi.refusal(2, &["serve", &digits, "--listen", "nowhere"]).contains("nowhere"));
}

#[test]
fn a_server_that_speaks_something_else() {
    let oribi = Oribi::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let text = oribi.refusal(1, &["models", "--server", &address]);
    assert!(text.contains(&address), "{text}");
    other.join().unwrap();
}

#[test]
fn wrong_choices_of_a_client() {
    let oribi = Oribi::new();
    let server = oribi.serve(&[&model("digits.onnx"), &model("lola_small.onnx"), "--output", "label"]);
    let digit = model("digits/7.png");
    let predict = |more: &[&str]| {
        let base = ["predict", &digit, "--server", &server.address, "--fingerprint", &server.fingerprint];
        oribi.refusal(2, &[&base, more].concat())
    };
    let text = predict(&[]);
    assert!(text.contains("digits") && text.contains("lola_small") && text.contains("--model"), "{text}");
    let text = predict(&["--model", "resnet"]);
    assert!(text.contains("resnet") && text.contains("lola_small"), "{text}");
    let text = predict(&["--model", "digits", "--output", "scores"]);
    assert!(text.contains("label"), "{text}");
    let wrong = format!("{}{}", &server.fingerprint[..server.fingerprint.len() - 1], "x");
    let base = ["predict", &digit, "--server", &server.address, "--fingerprint"];
    oribi.refusal(2, &[&base[..], &[&wrong]].concat());
    let mut other = server.fingerprint.clone().into_bytes();
    let last = other.len() - 1;
    other[last] = if other[last] == b'0' { b'1' } else { b'0' };
    let other = String::from_utf8(other).unwrap();
    let text = oribi.refusal(2, &[&base[..], &[&other]].concat());
    assert!(text.contains("fingerprint"), "{text}");
    server.finish();
}

#[test]
fn a_network_too_large_for_a_protocol_is_refused_before_it_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/real/open-nsfw.onnx");
    if !std::path::Path::new(path).exists() {
        return;
    }
    let options = ["--listen", "127.0.0.1:0", "--protocol", "deepsecure"];
    let refusal = Oribi::new().refusal(2, &[&["serve", path][..], &options].concat());
    assert!(refusal.contains("open-nsfw") && refusal.contains("another protocol"), "{refusal}");
    let shown = Oribi::new().stdout(&["inspect", path]);
    assert!(shown.contains("refused") && shown.contains("products"), "{shown}");
    // The graph alone says so: there are no integers to show.
    assert!(!shown.contains("of up to"), "{shown}");
}
