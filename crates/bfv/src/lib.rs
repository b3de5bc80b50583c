//! RNS rings and the BFV homomorphic encryption scheme.
