//! Operators of the domain `ai.onnx.ml` with which scikit-learn's exporter ends a classifier.

use crate::graph::Layer;

use super::attributes::NodeView;
use super::import::{Importer, Results, Stop};

/// The domain's name.
pub(super) const DOMAIN: &str = "ai.onnx.ml";

/// The label of a class by its index. Labels 0, 1, 2 ... are the indices themselves.
pub(super) fn array_feature_extractor<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let labels = im.constant(node, 0, "classes")?;
    let index = im.operand(node, 1)?;
    let numbered = labels.as_ints().is_some_and(|labels| labels.iter().copied().eq(0..labels.len() as i64));
    if !numbered {
        return Err(Stop::Unsupported(
            "the classes are not numbered 0, 1, 2 ...; export the probabilities alone and name the classes in the side file"
                .into(),
        ));
    }
    let count = im.shape(&index)?.iter().product();
    Ok(vec![im.movement(node, Layer::Reshape, &index, &[1, count])?])
}

/// Probabilities as a map from labels; here they stay a tensor.
pub(super) fn zip_map<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    Ok(vec![im.operand(node, 0)?])
}
