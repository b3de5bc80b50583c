//! Which layers' zeros are public, as a side file says it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, quote};
use crate::graph::Graph;
use crate::support::linear_layers;

/// Whether clients may know where a layer's weights are zero. Such a weight then costs nothing in a garbled circuit; but the map
/// is information about the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sparsity {
    /// They may not.
    #[default]
    Secret,
    /// They are told which weights of the model are zero: what pruning left out.
    Public,
    /// They are told which weights are zero as integers, those that round to zero among them. That tells which weights are small too.
    Rounded,
}

/// What a side file says: one word for all linear layers, or a table with a word for some of them by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sparsities {
    /// The same for all.
    All(Sparsity),
    /// By the name of a layer or its output; the others' zeros are secret.
    Layers(BTreeMap<String, Sparsity>),
}

impl Default for Sparsities {
    fn default() -> Self {
        Self::All(Sparsity::Secret)
    }
}

impl Sparsities {
    /// Whether nothing is public.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::All(sparsity) => *sparsity == Sparsity::Secret,
            Self::Layers(layers) => layers.values().all(|sparsity| *sparsity == Sparsity::Secret),
        }
    }

    /// Its line or table in a side file, with a line break; nothing where nothing is public.
    pub fn to_toml(&self) -> String {
        let word = |sparsity: &Sparsity| match sparsity {
            Sparsity::Secret => "secret",
            Sparsity::Public => "public",
            Sparsity::Rounded => "rounded",
        };
        match self {
            Self::All(Sparsity::Secret) => String::new(),
            Self::All(sparsity) => format!("sparsity = \"{}\"\n", word(sparsity)),
            Self::Layers(layers) => {
                let line = |(name, sparsity): (&String, &Sparsity)| {
                    format!("{} = \"{}\"\n", toml::Value::from(name.as_str()), word(sparsity))
                };
                layers.iter().fold("[sparsity]\n".to_owned(), |text, layer| text + &line(layer))
            }
        }
    }

    /// What it says of each linear layer of a graph, in order.
    ///
    /// # Errors
    /// [`Error::Side`] where it names what is no linear layer.
    pub fn of_layers(&self, graph: &Graph) -> Result<Vec<Sparsity>, Error> {
        let ids = linear_layers(graph).map(|(id, _)| id).collect::<Vec<_>>();
        let layers = match self {
            Self::All(sparsity) => return Ok(vec![*sparsity; ids.len()]),
            Self::Layers(layers) => layers,
        };
        let mut all = vec![Sparsity::Secret; ids.len()];
        for (name, sparsity) in layers {
            let named = |id: usize| {
                graph.nodes[id].name == *name || graph.outputs.iter().any(|o| o.node == id && o.name == *name)
            };
            let places: Vec<usize> = (0..ids.len()).filter(|place| named(ids[*place])).collect();
            if places.is_empty() {
                let known: Vec<String> =
                    ids.iter().take(20).map(|&id| quote(&graph.nodes[id].name)).collect();
                return Err(Error::Side(format!(
                    "[sparsity]: the model has no linear layer {}; it has {}",
                    quote(name),
                    known.join(", ")
                )));
            }
            places.into_iter().for_each(|place| all[place] = *sparsity);
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Sparsities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Sparsities;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"secret\", \"public\" or \"rounded\", or a table of layers with one of them each",
                )
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
                Sparsity::deserialize(StrDeserializer::new(word)).map(Sparsities::All)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(table)).map(Sparsities::Layers)
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;

    #[test]
    fn a_word_or_a_table() {
        let read = |text: &str| Side::parse(text).map(|side| side.sparsity);
        assert_eq!(read("").ok(), Some(Sparsities::All(Sparsity::Secret)));
        assert_eq!(read("sparsity = \"public\"").ok(), Some(Sparsities::All(Sparsity::Public)));
        let layers =
            BTreeMap::from([("a".to_owned(), Sparsity::Public), ("b".to_owned(), Sparsity::Rounded)]);
        let table = read("[sparsity]\na = \"public\"\nb = \"rounded\"");
        assert_eq!(table.ok(), Some(Sparsities::Layers(layers)));
        let tables = "[sparsity]\n\"a b\" = \"public\"\nc = \"secret\"\n";
        for text in ["", "sparsity = \"rounded\"\n", tables] {
            let read = read(text).expect("is one");
            assert_eq!(Side::parse(&read.to_toml()).expect("is one").sparsity, read);
        }
        for wrong in ["sparsity = \"open\"", "sparsity = 1", "[sparsity]\na = true", "[sparsity]\na = \"no\""]
        {
            let error = read(wrong).expect_err("refused").to_string();
            assert!(error.contains("line ") && !error.contains("untagged"), "{error}");
        }
    }
}
