//! JSON: nested lists of numbers, or an object with such lists named as the graph's inputs.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::array::finite;
use super::{InputError, InputSpec, shape};

/// Inputs that one JSON file may hold. It is read whole, unlike the binary formats.
const INPUT_LIMIT: usize = 1024;

/// Deepest nesting of lists.
const DEPTH_LIMIT: usize = 16;

/// Bytes read at most for each number a model takes, spaces included, over all inputs of the file.
const BYTES_A_NUMBER: u64 = 64;

/// The inputs in the file, each with one tensor for each of the graph's inputs.
pub(super) fn read(path: &Path, file: File, specs: &[InputSpec]) -> Result<Vec<Vec<Vec<f32>>>, InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let length = file.metadata().map_err(|error| InputError::io(path, &error))?.len();
    let largest = specs.iter().filter_map(|spec| shape::elements(&spec.shape)).sum::<usize>() as u64;
    let limit =
        largest.saturating_mul(BYTES_A_NUMBER).saturating_mul(INPUT_LIMIT as u64).saturating_add(1 << 16);
    if length > limit {
        return Err(refuse(format!(
            "has {length} bytes; JSON is read up to {limit} for this model: use .npy or .npz"
        )));
    }
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(file.take(limit)));
    let document = deserializer.deserialize_any(Document { specs }).and_then(|found| {
        deserializer.end()?;
        Ok(found)
    });
    let arrays = document.map_err(|error| refuse(format!("the JSON is not usable: {error}")))?;
    assemble(arrays, specs).map_err(refuse)
}

/// Splits the arrays into inputs.
fn assemble(arrays: Vec<Option<Nested>>, specs: &[InputSpec]) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let mut common = None;
    let mut tensors = Vec::new();
    for (array, spec) in arrays.into_iter().zip(specs) {
        let array =
            array.ok_or_else(|| format!("has no list named {:?} for the model's input", spec.name))?;
        let what = if specs.len() == 1 { "the list".to_owned() } else { format!("the list {:?}", spec.name) };
        let count = shape::count(&array.shape, &spec.shape)
            .ok_or_else(|| shape::mismatch(&what, &array.shape, &spec.name, &spec.shape))?;
        if *common.get_or_insert(count) != count {
            return Err(format!("{what} holds {count} inputs, and another list more or fewer"));
        }
        tensors.push(array.values);
    }
    let count = common.unwrap_or(0);
    let tensors = &tensors;
    let part = |index: usize| {
        tensors.iter().map(move |values| {
            let each = values.len() / count;
            values[index * each..(index + 1) * each].to_vec()
        })
    };
    Ok((0..count).map(|index| part(index).collect()).collect())
}

/// A rectangular nest of lists.
#[derive(Default)]
struct Nested {
    values: Vec<f32>,
    shape: Vec<usize>,
}

/// The whole file: a list for the only input, or an object.
struct Document<'a> {
    specs: &'a [InputSpec],
}

impl Document<'_> {
    fn limit(spec: &InputSpec) -> usize {
        shape::elements(&spec.shape).unwrap_or(0).saturating_mul(INPUT_LIMIT)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Vec<Option<Nested>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of numbers, or an object of lists named as the model's inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let [spec] = self.specs else {
            let names = shape::names(self.specs.iter().map(|spec| spec.name.as_str()));
            return Err(A::Error::custom(format!(
                "the model takes several inputs; wanted an object with {names}"
            )));
        };
        let mut walk = Walk { nested: Nested::default(), leaf_depth: None, limit: Self::limit(spec) };
        walk.list(&mut list, 0)?;
        Ok(vec![Some(walk.nested)])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<Option<Nested>> = self.specs.iter().map(|_| None).collect();
        while let Some(name) = map.next_key::<String>()? {
            let Some(index) = self.specs.iter().position(|spec| spec.name == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let mut walk =
                Walk { nested: Nested::default(), leaf_depth: None, limit: Self::limit(&self.specs[index]) };
            map.next_value_seed(Level { walk: &mut walk, depth: 0 })?;
            found[index] = Some(walk.nested);
        }
        Ok(found)
    }
}

/// The state of a walk through one nest.
struct Walk {
    nested: Nested,
    /// The depth of the numbers, known from the first one.
    leaf_depth: Option<usize>,
    limit: usize,
}

impl Walk {
    fn list<'de, A: SeqAccess<'de>>(&mut self, list: &mut A, depth: usize) -> Result<(), A::Error> {
        if depth >= DEPTH_LIMIT {
            return Err(A::Error::custom(format!("lists are nested deeper than {DEPTH_LIMIT}")));
        }
        if self.leaf_depth.is_some_and(|leaf| depth >= leaf) {
            return Err(A::Error::custom("a list stands where a number is wanted"));
        }
        let known = self.nested.shape.get(depth).copied();
        if known.is_none() {
            self.nested.shape.push(0);
        }
        let mut count = 0usize;
        while list.next_element_seed(Level { walk: self, depth: depth + 1 })?.is_some() {
            count += 1;
            if count > known.unwrap_or(self.limit.max(1)) {
                return Err(A::Error::custom(
                    "a list is longer than its neighbours or than the model's input",
                ));
            }
        }
        if known.is_some_and(|known| known != count) {
            return Err(A::Error::custom("a list is shorter than its neighbours"));
        }
        self.nested.shape[depth] = count;
        Ok(())
    }

    fn number<E: serde::de::Error>(&mut self, value: f64, depth: usize) -> Result<(), E> {
        if *self.leaf_depth.get_or_insert(depth) != depth || self.nested.shape.len() != depth {
            return Err(E::custom("a number stands where a list is wanted"));
        }
        if self.nested.values.len() >= self.limit {
            return Err(E::custom(format!("more than {} numbers", self.limit)));
        }
        let index = self.nested.values.len();
        self.nested.values.push(finite(value, || format!("index {index}")).map_err(E::custom)?);
        Ok(())
    }
}

/// One element of a nest: a number, or a list one level down.
struct Level<'a> {
    walk: &'a mut Walk,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.walk.number(value, self.depth)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.walk.number(value as f64, self.depth)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.walk.number(value as f64, self.depth)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.walk.list(&mut list, self.depth)
    }
}
