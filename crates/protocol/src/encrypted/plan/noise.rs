//! A plan's operations as the chain from which the scheme's parameters are derived.

use bfv::chain::{Chain, Factor, KeySwitch, Shape, Step as Link};
use bfv::{Parameters, PlainModulus};
use linear::slots::{Diagonals, Factors, Kernel, Operations};

use super::lower::{Kind, Network};
use super::{Refusal, Scheme, Space};
use crate::encrypted::outline::STATISTICAL;

/// The chain of a plan, and which links belong to which tensor.
pub(super) struct Links {
    pub links: Vec<Link>,
    /// For each tensor its own links.
    pub tensors: Vec<Spans>,
    /// For each result its re-randomisation.
    pub results: Vec<usize>,
}

/// Links of a stage: the first, and the first after the products.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub first: usize,
    pub after: usize,
}

/// Links of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    /// Its own operation, if it is a product; of a linear tensor the first stage.
    pub first: usize,
    /// Its stages.
    pub stages: Vec<Span>,
    /// The last of all.
    pub last: usize,
}

/// A stage of a draft.
#[derive(Clone)]
pub(super) struct StageDraft {
    pub kernel: Kernel,
    pub diagonals: Diagonals,
    pub operations: Operations,
}

/// Terms of the longest sum of products, and giant steps of an output.
fn sizes(diagonals: &Diagonals) -> (usize, usize) {
    let (mut terms, mut giants) = (1, 1);
    for output in diagonals.entries().chunk_by(|a, b| a.output == b.output) {
        let groups: Vec<_> = output.chunk_by(|a, b| a.giant == b.giant).collect();
        giants = giants.max(groups.len());
        terms = groups.iter().map(|group| group.len()).max().unwrap_or(1).max(terms);
    }
    (terms, giants)
}

/// The links of a plan: of each tensor the stages; `scalar_bits` bounds the factors of scalar kernels.
pub(super) fn links(network: &Network, stages: &[&[StageDraft]], scalar_bits: u32) -> Links {
    let mut links: Vec<Link> = Vec::new();
    let mut tensors: Vec<Spans> = Vec::new();
    for (tensor, stages) in network.tensors.iter().zip(stages) {
        let mut spans = Vec::new();
        let own = match &tensor.kind {
            Kind::Product(a, b) => {
                recall(&mut links, tensors[*a].last.max(tensors[*b].last));
                links.push(if a == b { Link::Square } else { Link::Multiply });
                Some(links.len() - 1)
            }
            Kind::Input => {
                links.push(Link::Sum(1));
                Some(links.len() - 1)
            }
            Kind::Linear(_) => None,
        };
        for (number, stage) in stages.iter().enumerate() {
            let sources = match &tensor.kind {
                Kind::Linear(paths) if number == 0 => {
                    paths.iter().map(|path| tensors[path.source].last).collect()
                }
                _ => vec![links.len().saturating_sub(1)],
            };
            spans.push(stage_links(&mut links, stage, &sources, scalar_bits));
        }
        let last = links.len() - 1;
        let first = own.or_else(|| spans.first().map(|span| span.first)).unwrap_or(last);
        tensors.push(Spans { first, stages: spans, last });
    }
    let mut results = Vec::new();
    for output in &network.outputs {
        recall(&mut links, tensors[*output].last);
        results.push(links.len());
        links.extend([Link::Rerandomise, Link::Flood(STATISTICAL)]);
    }
    Links { links, tensors, results }
}

fn stage_links(links: &mut Vec<Link>, stage: &StageDraft, sources: &[usize], scalar_bits: u32) -> Span {
    let (kernel, diagonals) = (&stage.kernel, &stage.diagonals);
    let (terms, giants) = sizes(diagonals);
    let factor = match kernel.factors {
        Factors::Slots => Factor::Slots,
        Factors::Scalars => Factor::SquaredNorm(2f64.powi(2 * scalar_bits as i32)),
        Factors::Ones => Factor::SquaredNorm(1.0),
    };
    let mut first = None;
    for (term, source) in sources.iter().enumerate() {
        let before = links.len() - 1;
        recall(links, *source);
        first.get_or_insert(links.len());
        if diagonals.entries().iter().any(|entry| entry.baby != 0) {
            links.push(Link::Rotate);
        }
        links.push(Link::Dot { terms, factor });
        if term > 0 {
            links.push(Link::Join(before));
        }
    }
    let dot = links.len() - 1;
    if diagonals.entries().iter().any(|entry| entry.giant != 0) {
        links.push(Link::Rotate);
        links.push(Link::Sum(giants));
    }
    let fold = kernel.fold.filter(|_| !kernel.by_client);
    links.extend(fold.iter().chain(&kernel.replicate).map(|more| Link::RotateSum(more.log2)));
    let last = links.len() - 1;
    Span { first: first.unwrap_or(dot), after: (dot + 1).min(last) }
}

fn recall(links: &mut Vec<Link>, last: usize) {
    if last + 1 != links.len() {
        links.push(Link::Recall(last));
    }
}

/// Parameters that leave room for a chain, of each kind of key switching that does.
pub(super) fn shapes(links: &Links, degree: usize, spaces: &[PlainModulus]) -> Vec<Shape> {
    let widest = spaces.iter().copied().max_by(|a, b| a.log2_norm().total_cmp(&b.log2_norm()));
    let Some(plain) = widest else { return Vec::new() };
    let chain = Chain { degree, plain, public: false, steps: &links.links };
    let kinds = [KeySwitch::Limbs, KeySwitch::Special, KeySwitch::Digits(25)];
    let limit = bfv::security::max_modulus_bits(degree).unwrap_or(0);
    kinds.iter().filter_map(|kind| chain.shape(*kind)).filter(|shape| shape.bits() <= limit).collect()
}

impl Space {
    pub(super) fn of(plain: PlainModulus) -> Option<Self> {
        match plain {
            PlainModulus::Generalised { base, power } => Some(Self::Generalised { base, power }),
            PlainModulus::Prime(prime) => Some(Self::Prime(prime)),
            PlainModulus::PowerOfTwo(_) => None,
        }
    }

    fn plain(&self) -> PlainModulus {
        match *self {
            Self::Generalised { base, power } => PlainModulus::Generalised { base, power },
            Self::Prime(prime) => PlainModulus::Prime(prime),
        }
    }
}

impl Scheme {
    /// The scheme of a shape.
    pub(super) fn of(shape: &Shape, spaces: &[PlainModulus]) -> Result<Self, Refusal> {
        let parameters = shape.parameters()?;
        let literal = parameters.literal();
        let spaces: Option<Vec<Space>> = spaces.iter().map(|plain| Space::of(*plain)).collect();
        Ok(Self {
            degree: literal.degree,
            spaces: spaces.ok_or_else(|| Refusal::Invalid("a plaintext space without slots".into()))?,
            data: literal.data.clone(),
            special: literal.special,
            digit_bits: literal.digit_bits,
        })
    }

    /// The parameter sets: one for each plaintext space, over one ring and one secret key.
    ///
    /// # Errors
    /// If they are no parameters of 128-bit security.
    pub fn parameters(&self) -> Result<Vec<Parameters>, Refusal> {
        let wrong = || Refusal::Invalid("it has no plaintext space, or too many".into());
        let first = self.spaces.first().filter(|_| self.spaces.len() <= 8).ok_or_else(wrong)?;
        let base = Parameters::new(bfv::Literal {
            degree: self.degree,
            plain: first.plain(),
            data: self.data.clone(),
            special: self.special,
            digit_bits: self.digit_bits,
        })?;
        let rest = self.spaces[1..].iter().map(|space| Ok(base.with_plain(space.plain())?));
        core::iter::once(Ok(base.clone())).chain(rest).collect()
    }
}
