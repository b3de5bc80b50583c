//! Base oblivious transfer and correlated OT extension.
