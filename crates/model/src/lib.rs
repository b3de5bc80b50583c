//! Tensors, ONNX import, the network graph, fixed point, and the float and integer references.

pub mod fixed;
