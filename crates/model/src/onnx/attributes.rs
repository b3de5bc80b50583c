//! Reading a node's attributes.

use crate::error::Error;

use super::constant::Constant;
use super::proto::{AttributeProto, NodeProto, TensorProto};

/// A node of the file with a name that can be shown.
#[derive(Clone, Copy)]
pub(super) struct NodeView<'a> {
    pub proto: &'a NodeProto,
}

impl<'a> NodeView<'a> {
    /// The node's name, or that of its first output where it has none.
    pub(super) fn name(&self) -> &'a str {
        if self.proto.name.is_empty() {
            self.proto.output.first().map_or("", String::as_str)
        } else {
            &self.proto.name
        }
    }

    pub(super) fn op(&self) -> &'a str {
        &self.proto.op_type
    }

    /// An error at this node.
    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        let problem: String = problem.into();
        Error::at(self.name(), format!("{}: {problem}", self.op()))
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |a| a.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, Error> {
        let value = self.find(name).map_or(default, |a| a.f);
        if value.is_finite() { Ok(value) } else { Err(self.error(format!("attribute {name} is {value}"))) }
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.find(name).map(|a| a.ints.as_slice())
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.find(name).map(|a| &a.s[..])
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.find(name).and_then(|a| a.t.as_ref())
    }

    /// The value of a `Constant` node, in whichever attribute it lies.
    pub(super) fn constant(&self, folder: Option<&std::path::Path>) -> Result<Constant, Error> {
        use super::constant::Data;
        if let Some(tensor) = self.tensor("value") {
            return Constant::read(tensor, folder).map_err(|e| self.error(e.to_string()));
        }
        for a in &self.proto.attribute {
            let constant = match a.name.as_str() {
                "value_float" => Constant { shape: vec![], data: Data::floats(vec![a.f]) },
                "value_int" => Constant { shape: vec![], data: Data::Int(vec![a.i]) },
                "value_floats" => {
                    Constant { shape: vec![a.floats.len()], data: Data::floats(a.floats.clone()) }
                }
                "value_ints" => Constant::ints(a.ints.clone()),
                _ => continue,
            };
            if let Data::Float(values) = &constant.data
                && values.iter().any(|v| !v.is_finite())
            {
                return Err(self.error("the constant is not finite"));
            }
            return Ok(constant);
        }
        Err(self.error("a constant without a numeric value"))
    }

    /// An axis, counted from the front.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Error> {
        let at = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        at.and_then(|a| usize::try_from(a).ok())
            .filter(|&a| a < rank)
            .ok_or_else(|| self.error(format!("axis {axis} of a tensor with {rank} axes")))
    }

    /// Several axes, counted from the front, each once.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Error> {
        let mut out = Vec::with_capacity(axes.len().min(rank));
        for &axis in axes {
            let axis = self.axis(axis, rank)?;
            if out.contains(&axis) {
                return Err(self.error(format!("axis {axis} is named twice")));
            }
            out.push(axis);
        }
        Ok(out)
    }
}
