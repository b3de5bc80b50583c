//! Agreements, refusals and nonsense.

use std::thread;

use model::fixed::{Format, Node, NumberFormat, Op, Output, Post};

use super::*;

fn hello() -> Hello {
    Hello {
        server: "oribi 0.1.0".into(),
        models: vec![ModelInfo {
            id: ModelId([7; 16]),
            name: "digits".into(),
            inputs: vec![InputInfo {
                name: "x".into(),
                shape: vec![1, 3, 4, 4],
                pixel_scale: vec![1.0 / 255.0],
                pixel_offset: vec![0.0, 0.5, -0.25],
                bgr: false,
                range: Some([0.0, 1.0]),
            }],
            labels: vec!["zero".into(), "one".into()],
            protocols: vec![ProtocolInfo { name: "echo".into(), reveals: vec![Reveal::Scores] }],
            projected_from: None,
        }],
    }
}

fn plan() -> Plan {
    let format = Format { bits: 16, frac: 12 };
    let node = |name: &str, op, inputs: &[usize]| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: vec![1, 3, 4, 4],
        format,
    };
    let graph = FixedGraph {
        number: NumberFormat::Word16,
        nodes: vec![node("x", Op::Input, &[]), node("re\u{1b}lu", Op::Relu, &[0])],
        params: Vec::new(),
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 1, post: Post::None }],
    };
    Plan { graph, payload: serde_json::json!({"words": 16}) }
}

fn choice() -> Choice {
    Choice {
        model: ModelId([7; 16]),
        protocol: "echo".into(),
        reveal: Reveal::Scores,
        payload: serde_json::Value::Null,
    }
}

#[test]
fn an_agreement() {
    let (mut client, mut server) = Session::pair();
    let serve = thread::spawn(move || {
        send_hello(&mut server, &hello()).unwrap();
        let chosen = receive_request(&mut server, &hello()).unwrap();
        send_plan(&mut server, &plan()).unwrap();
        let farewell = receive_request(&mut server, &hello()).unwrap();
        (chosen, farewell)
    });
    assert_eq!(receive_hello(&mut client).unwrap(), hello());
    let mut expected = plan();
    expected.graph.nodes[1].name = "re lu".into();
    assert_eq!(choose(&mut client, &choice()).unwrap(), expected);
    farewell(&mut client).unwrap();
    assert_eq!(serve.join().unwrap(), (Request::Choice(choice()), Request::Farewell));
    // Greetings cross; hello answers; choice and plan are a request and its answer.
    assert_eq!(client.meter.snapshot().phases[0].rounds, 5);
}

#[test]
fn versions_agree_or_say_who_is_behind() {
    let versions = |oldest, newest| Versions { oldest, newest };
    assert_eq!(versions(1, 3).agree(versions(2, 9)).unwrap(), 3);
    let error = versions(1, 1).agree(versions(2, 3)).unwrap_err().to_string();
    assert_eq!(error, "this side speaks protocol version 1 and the peer 2 to 3: update this side");
    let error = versions(4, 5).agree(versions(2, 3)).unwrap_err().to_string();
    assert!(error.ends_with("update the peer"), "{error}");
    assert!(Versions::decode(*b"GET / HTTP/1.1\r\n").is_err());
    assert!(Versions::decode(versions(3, 2).encode()).is_err());
}

#[test]
fn choices_outside_the_offer_are_refused_with_the_offer() {
    let refused = |choice: Choice| hello().allows(&choice).unwrap_err().to_string();
    let error = refused(Choice { model: ModelId([8; 16]), ..choice() });
    assert!(error.contains("digits"), "{error}");
    let error = refused(Choice { protocol: "nonsense\n".into(), ..choice() });
    assert!(error.contains("echo") && !error.contains('\n'), "{error}");
    let error = refused(Choice { reveal: Reveal::Label, ..choice() });
    assert!(error.contains("scores"), "{error}");
}

#[test]
fn hellos_are_cleaned_and_judged() {
    let judged = |change: &dyn Fn(&mut ModelInfo)| {
        let mut hello = hello();
        change(&mut hello.models[0]);
        hello.check().map(|()| hello)
    };
    let hello = judged(&|model| model.labels[0] = "\u{1b}[2Jzero".into()).unwrap();
    assert_eq!(hello.models[0].labels[0], " [2Jzero");
    assert!(judged(&|model| model.inputs[0].shape = vec![usize::MAX, 2]).is_err());
    assert!(judged(&|model| model.inputs[0].shape = vec![0]).is_err());
    assert!(judged(&|model| model.inputs[0].shape = vec![1; 9]).is_err());
    assert!(judged(&|model| model.inputs[0].pixel_scale = vec![f32::NAN]).is_err());
    assert!(judged(&|model| model.inputs[0].pixel_offset = vec![0.0; 5]).is_err());
    let mut twice = super::tests::hello();
    twice.models.push(twice.models[0].clone());
    assert!(twice.check().is_err());
    twice.models = vec![twice.models[0].clone(); MAX_MODELS + 1];
    assert!(twice.check().is_err());
}

#[test]
fn nonsense_is_malformed() {
    for bytes in [&b""[..], b"[]", b"{\"graph\": 1}", &[b'['; 100_000], b"\xff\xff"] {
        assert!(matches!(Plan::decode(bytes), Err(Error::Malformed { .. })));
    }
    for id in ["", "07", "0707070707070707070707070707070G", "\u{e9}707070707070707070707070707070"] {
        assert!(ModelId::try_from(id.to_owned()).is_err(), "{id}");
    }
    let id = ModelId([0xab; 16]);
    assert_eq!(ModelId::try_from(id.to_string()), Ok(id));
}

#[test]
fn plans_that_no_engine_could_trust_are_refused() {
    let mut wrong = plan();
    wrong.graph.nodes[1].inputs = vec![1 << 40];
    let error = Plan::decode(&serde_json::to_vec(&wrong).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Malformed { what: "plan", .. }), "{error}");
}

#[test]
fn identifiers_and_outputs_have_one_spelling() {
    assert_eq!(serde_json::to_string(&Reveal::Label).unwrap(), "\"label\"");
    assert!(serde_json::to_string(&choice()).unwrap().contains(&"07".repeat(16)));
}

/// A list whose model takes 48 coordinates of so many values.
fn projected(width: usize) -> Hello {
    let mut list = hello();
    list.models[0].projected_from = Some(width);
    list
}

#[test]
fn a_basis_crosses_on_request() {
    let values: Vec<f32> = (0..48 * 5).map(|i| i as f32 - 7.5).collect();
    let (mut client, mut server) = Session::pair();
    send_basis(&mut server, &values).unwrap();
    assert_eq!(receive_basis(&mut client, &projected(5).models[0]).unwrap(), Some(values));
    assert!(server.inbox.recv(Tag::BASIS, Length::Exactly(0)).is_ok());
    // Nothing is asked for where there is none.
    assert_eq!(receive_basis(&mut client, &hello().models[0]).unwrap(), None);
    drop(client);
    assert!(matches!(server.inbox.recv(Tag::BASIS, Length::Exactly(0)), Err(Error::Closed { .. })));
}

#[test]
fn a_basis_that_cannot_be_is_refused() {
    for width in [0, MAX_BASIS / 48 + 1, usize::MAX] {
        let mut list = projected(width);
        assert!(matches!(list.check(), Err(Error::Malformed { .. })), "{width}");
    }
    let mut list = projected(MAX_BASIS / 48);
    assert!(list.check().is_ok());
    let other = list.models[0].inputs[0].clone();
    list.models[0].inputs.push(other);
    assert!(list.check().is_err(), "two inputs");
    // Of another length than its shape, or of values that are no numbers.
    for (count, words) in [(48 * 5 - 1, "announced 956 bytes"), (48 * 5 + 1, "announced 964 bytes")] {
        let (mut client, mut server) = Session::pair();
        send_basis(&mut server, &vec![1.0; count]).unwrap();
        let error = receive_basis(&mut client, &projected(5).models[0]).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut client, mut server) = Session::pair();
        let mut values = vec![1.0; 48 * 5];
        values[100] = odd;
        send_basis(&mut server, &values).unwrap();
        let error = receive_basis(&mut client, &projected(5).models[0]).unwrap_err();
        assert!(error.to_string().contains("no finite number"), "{error}");
    }
}
