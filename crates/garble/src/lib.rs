//! Boolean circuits and gadgets; garbling and evaluating them.
