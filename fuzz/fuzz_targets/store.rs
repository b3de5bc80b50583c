//! Messages of the stores' agreement: any bytes give a message or an error, and what is a message has these bytes alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oribi::store::wire::{Answer, Statement, Wish};
use protocol::message::Message;

fn one<T: Message>(bytes: &[u8]) {
    if let Ok(message) = T::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    one::<Statement>(bytes);
    one::<Answer>(bytes);
    one::<Wish>(bytes);
});
