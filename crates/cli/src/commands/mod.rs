//! One file for each command: its arguments and what it does.

pub mod bench;
pub mod calibrate;
pub mod demo;
pub mod inspect;
pub mod models;
pub mod plan;
pub mod predict;
pub mod prepare;
pub mod proxy;
pub mod run;
pub mod serve;
pub mod store;
