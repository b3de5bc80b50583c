//! Messages of the oblivious transfers: any bytes give a message or an error, and any well-formed message can be answered.
#![no_main]

use kernel::block::Block;
use kernel::seed::Seed;
use libfuzzer_sys::fuzz_target;
use ot::softspoken::{ExtendMessage, ReceiverSetup, SenderSetup, SetupReply, SetupRequest};

fuzz_target!(|bytes: &[u8]| {
    let seed = Seed::from_bytes([1; 32]);
    if let Ok(request) = SetupRequest::decode(bytes) {
        let _ = ReceiverSetup::respond(&request, &seed);
    }
    if let Ok(reply) = SetupReply::decode(bytes) {
        let (setup, _) = SenderSetup::new(Block(1), &seed);
        let _ = setup.finish(&reply);
    }
    let _ = ExtendMessage::decode(bytes);
    let _ = ot::base::Request::decode(bytes);
    let _ = ot::base::Reply::decode(bytes);
});
