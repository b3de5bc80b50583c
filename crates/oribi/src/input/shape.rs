//! How the shape of an array fits a model's input: exactly, without the batch axis, or many along a leading axis.

/// `1x28x28`.
pub(super) fn text(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "a single number".to_owned();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// Names for a message: at most eight of them.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut list: Vec<&str> = names.take(9).collect();
    if list.len() == 9 {
        list[8] = "...";
    }
    list.join(", ")
}

/// Number of elements, if it fits the machine.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis))
}

/// How many inputs an array of shape `found` holds for a model that takes `wanted`: one where the shapes are equal, up
/// to a left-out batch axis or axes of length one; N where a leading axis N stands before.
pub(super) fn count(found: &[usize], wanted: &[usize]) -> Option<usize> {
    let without_batch = match wanted {
        [1, rest @ ..] if !rest.is_empty() => rest,
        _ => wanted,
    };
    if found == wanted || found == without_batch {
        return Some(1);
    }
    if let [count, rest @ ..] = found
        && (rest == without_batch || rest == wanted)
    {
        return Some(*count);
    }
    let visible = |shape: &[usize]| shape.iter().copied().filter(|axis| *axis != 1).collect::<Vec<_>>();
    (visible(found) == visible(wanted)).then_some(1)
}

/// The sentence for an array that does not fit.
pub(super) fn mismatch(what: &str, found: &[usize], name: &str, wanted: &[usize]) -> String {
    format!(
        "{what} has shape {}, and the model's input {name:?} takes {} (a batch axis may be left out; N inputs stand \
         along a leading axis)",
        text(found),
        text(wanted)
    )
}
