//! Messages of silent and of chosen transfers: bytes of any other length are refused, and any message can be answered.
#![no_main]

use std::cell::RefCell;

use kernel::block::Block;
use kernel::seed::Seed;
use libfuzzer_sys::fuzz_target;
use ot::ferret::{CorrectionMessage, Receiver};
use ot::random::ChosenMessage;
use ot::softspoken::{ReceiverSetup, SenderSetup};

thread_local! {
    /// A receiver that goes on from message to message: its set-up is slow.
    static RECEIVER: RefCell<Option<Receiver>> = RefCell::new(receiver());
}

fn receiver() -> Option<Receiver> {
    let (_, request) = SenderSetup::new(Block(1), &Seed::from_bytes([1; 32]));
    let (mut base, _) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    Receiver::new(&mut base, &Seed::from_bytes([3; 32])).ok().map(|(receiver, _)| receiver)
}

fuzz_target!(|bytes: &[u8]| {
    let _ = CorrectionMessage::decode(bytes);
    let whole: Vec<u8> = bytes.iter().copied().cycle().take(CorrectionMessage::ENCODED_LEN).collect();
    // A batch takes some milliseconds: not for every input.
    if bytes.first().is_some_and(|first| *first < 8) {
        let message = CorrectionMessage::decode(&whole).expect("as long as a message");
        RECEIVER.with_borrow_mut(|receiver| {
            if receiver.as_mut().is_some_and(|receiver| receiver.extend(&message).is_err()) {
                *receiver = self::receiver();
            }
        });
    }
    let count = bytes.len() / 32;
    if let Ok(message) = ChosenMessage::decode(bytes, count) {
        let choices = &bytes[..count.div_ceil(8)];
        assert_eq!(message.open(&vec![Block(7); count], choices).expect("as many pads").len(), count);
        assert!(message.open(&vec![Block(7); count + 1], choices).is_err());
    }
});
