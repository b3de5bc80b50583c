//! What each protocol would take for a network, and which is cheapest.

use std::time::Duration;

use model::fixed::FixedGraph;
use planner::cost::{Estimate, Rates};
use protocol::encrypted::{self, plans};
use protocol::garbled::{self, FirstLayer};
use protocol::handshake;
use protocol::interactive::{Garbler, Method, Plan, ahead};
use protocol::shape::Link;
use protocol::work::Work;
use protocol::{Error, Reveal};

use crate::calibration;
use crate::choice::{Asked, Protocol};
use crate::console::{note, patiently};
use crate::failure::Failure;
use crate::report::seconds;
use crate::source::{Number, Source};

/// One choice on every axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// One garbled circuit, first layers by transfers or by gates.
    DeepSecure(FirstLayer),
    /// The whole network on ciphertexts.
    Lola,
    /// The same for many inputs in one pass.
    LolaBatch,
    /// Linear layers on encrypted shares, by either method.
    Gazelle(Method),
    /// Linear layers on encrypted masks, by either method, either party garbling.
    Delphi(Garbler, Method),
}

impl Variant {
    /// All that predict one input.
    pub const ALL: [Self; 9] = [
        Self::DeepSecure(FirstLayer::Ot),
        Self::DeepSecure(FirstLayer::Garbled),
        Self::Lola,
        Self::Gazelle(Method::HeCoefficients),
        Self::Gazelle(Method::HeSlots),
        Self::Delphi(Garbler::Server, Method::HeCoefficients),
        Self::Delphi(Garbler::Client, Method::HeCoefficients),
        Self::Delphi(Garbler::Server, Method::HeSlots),
        Self::Delphi(Garbler::Client, Method::HeSlots),
    ];

    /// What each protocol does unless options say otherwise.
    const USUAL: [Self; 4] = [
        Self::DeepSecure(FirstLayer::Ot),
        Self::Lola,
        Self::Gazelle(Method::HeCoefficients),
        Self::Delphi(Garbler::Server, Method::HeCoefficients),
    ];

    /// Its protocol.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::DeepSecure(_) => Protocol::DeepSecure,
            Self::Lola | Self::LolaBatch => Protocol::Lola,
            Self::Gazelle(_) => Protocol::Gazelle,
            Self::Delphi(..) => Protocol::Delphi,
        }
    }

    /// What it chooses, in the words of options; empty where there is nothing to choose.
    pub fn options(self) -> &'static str {
        match self {
            Self::DeepSecure(FirstLayer::Ot) => "--first-layer ot",
            Self::DeepSecure(FirstLayer::Garbled) => "--first-layer garbled",
            Self::Lola => "",
            Self::LolaBatch => "--batch",
            Self::Gazelle(Method::HeCoefficients) => "--linear he-coefficients",
            Self::Gazelle(Method::HeSlots) => "--linear he-slots",
            Self::Delphi(Garbler::Server, Method::HeCoefficients) => "--garbler server",
            Self::Delphi(Garbler::Client, Method::HeCoefficients) => "--garbler client",
            Self::Delphi(Garbler::Server, Method::HeSlots) => "--garbler server --linear he-slots",
            Self::Delphi(Garbler::Client, Method::HeSlots) => "--garbler client --linear he-slots",
        }
    }

    /// What the client is to be told of it.
    pub fn client_options(self) -> &'static [&'static str] {
        match self {
            Self::LolaBatch => &["--batch"],
            _ => &[],
        }
    }

    /// Its integers.
    pub fn number(self) -> Number {
        match self {
            Self::Gazelle(Method::HeSlots) => Number::InSlots,
            other => Number::Of(other.protocol()),
        }
    }

    /// What the server would send with the graph.
    fn payload(self, graph: &FixedGraph, link: Link) -> Result<serde_json::Value, Error> {
        match self {
            Self::DeepSecure(first_layer) => {
                Ok(garbled::Options { first_layer, ..garbled::Options::default() }.to_payload())
            }
            Self::Lola => plans::make(plans::LOLA, graph, &plans::Options::default()),
            Self::LolaBatch => plans::make(plans::BATCH, graph, &plans::Options::default()),
            Self::Gazelle(method) => Plan::choose_for(graph, method, link)?.payload(),
            Self::Delphi(garbler, method) => {
                Plan { garbler, ..Plan::choose_for(graph, method, link)? }.payload()
            }
        }
    }

    /// What a prediction of a model takes; of integers that are at hand where they are the same ones.
    ///
    /// # Errors
    /// Why it cannot run the model, in plain words.
    pub fn work(self, graph: &FixedGraph, reveal: Reveal, link: Option<Link>) -> Result<Work, String> {
        let first = match self {
            Self::DeepSecure(FirstLayer::Garbled) => Some(crate::choice::FirstLayer::Garbled),
            _ => None,
        };
        self.protocol().check(graph, reveal, first)?;
        let named = |error: Error| format!("{}: {error}", self.protocol().name());
        let payload = self.payload(graph, link.unwrap_or(Link::LAN)).map_err(named)?;
        if self == Self::LolaBatch {
            return encrypted::batch::work(graph, &payload).map(|(work, _)| work).map_err(named);
        }
        let plan = handshake::Plan { graph: graph.clone(), payload };
        work_of(self.protocol(), &plan, reveal).map_err(named)
    }
}

/// What a prediction by a plan takes: what either party can tell, since plans are public.
///
/// # Errors
/// If the plan does not fit its graph.
pub fn work_of(protocol: Protocol, plan: &handshake::Plan, reveal: Reveal) -> Result<Work, Error> {
    match protocol {
        Protocol::DeepSecure => {
            let options = garbled::Options::read(&plan.payload)?;
            garbled::check(&plan.graph, reveal, options.first_layer)?;
            Ok(garbled::work(&plan.graph, reveal, options.first_layer))
        }
        Protocol::Lola => encrypted::work(&plan.graph, &plan.payload),
        Protocol::Gazelle => Plan::of(plan)?.work(&plan.graph, reveal),
        Protocol::Delphi => ahead::work((&plan.graph, &Plan::of(plan)?), reveal),
    }
}

/// A choice with its price, or why there is none.
pub struct Priced {
    /// The choice.
    pub variant: Variant,
    /// What it takes.
    pub estimate: Result<Estimate, String>,
}

/// Prices some choices for a model. Integers are looked for once for each form of them.
pub fn price(
    source: &Source,
    variants: &[Variant],
    reveal: Reveal,
    (rates, link): (&Rates, Option<Link>),
) -> Vec<Priced> {
    let mut known: Vec<(Number, Result<FixedGraph, String>)> = Vec::new();
    let mut each = |variant: &Variant| {
        variant.protocol().reveals(reveal)?;
        source.supports(variant.protocol())?;
        let number = variant.number();
        if !known.iter().any(|(of, _)| *of == number) {
            let made = source.quantise(number).map(|(graph, _)| graph);
            known.push((number, made.map_err(|failure| failure.lines().join("; "))));
        }
        let graph = known.iter().find(|(of, _)| *of == number).map(|(_, graph)| graph.clone());
        let graph = graph.unwrap_or_else(|| Err("there are no integers".to_owned()))?;
        Ok(Estimate::new(&variant.work(&graph, reveal, link)?, rates, link))
    };
    variants.iter().map(|variant| Priced { variant: *variant, estimate: each(variant) }).collect()
}

/// Many inputs in one pass, with their price.
pub struct Pass {
    /// How many inputs, at most; 0 where it is refused.
    pub inputs: usize,
    /// What all of them take together.
    pub priced: Priced,
}

/// Prices a pass of many inputs, if the model runs by a protocol that has that.
pub fn pass(source: &Source, reveal: Reveal, (rates, link): (&Rates, Option<Link>)) -> Option<Pass> {
    let variant = Variant::LolaBatch;
    variant.protocol().reveals(reveal).ok()?;
    source.supports(variant.protocol()).ok()?;
    let (graph, _) = source.quantise(variant.number()).ok()?;
    let payload = variant.payload(&graph, link.unwrap_or(Link::LAN));
    let counted = payload.and_then(|payload| encrypted::batch::work(&graph, &payload));
    let inputs = counted.as_ref().map_or(0, |(_, inputs)| *inputs);
    let estimate = counted.map(|(work, _)| Estimate::new(&work, rates, link));
    let estimate = estimate.map_err(|error| format!("lola --batch: {error}"));
    Some(Pass { inputs, priced: Priced { variant, estimate } })
}

/// The choice of least time among those that can run: of both phases, or of the online phase alone where predictions are prepared.
pub fn best(priced: &[Priced], prepared: bool) -> Option<(&Priced, &Estimate)> {
    let cost = |estimate: &Estimate| match prepared {
        true => estimate.online.seconds,
        false => estimate.total().seconds,
    };
    let able = priced.iter().filter_map(|priced| Some((priced, priced.estimate.as_ref().ok()?)));
    // Only delphi keeps what it makes ahead.
    let able = able.filter(|(priced, _)| !prepared || priced.variant.protocol() == Protocol::Delphi);
    able.min_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)))
}

/// The protocol that is asked for, or the one of least time on a link, each as it is unless options say otherwise.
///
/// # Errors
/// If none can run the model: why the first cannot.
pub fn resolve(
    asked: Asked,
    source: &Source,
    reveal: Reveal,
    link: Option<Link>,
) -> Result<Protocol, Failure> {
    let Asked::Auto = asked else { return asked.named().ok_or_else(|| Failure::running("no protocol")) };
    let rates = calibration::told(false);
    let priced = patiently("looking for the cheapest protocol; large networks take a minute", || {
        price(source, &Variant::USUAL, reveal, (&rates, link))
    });
    if let Some((chosen, estimate)) = best(&priced, false) {
        let protocol = chosen.variant.protocol();
        note(&format!(
            "oribi: {} is cheapest: {} a prediction",
            protocol.name(),
            seconds(estimate.total().seconds)
        ));
        return Ok(protocol);
    }
    let why = priced.into_iter().find_map(|priced| priced.estimate.err());
    Err(Failure::bad(format!("{}: {}", source.path, why.unwrap_or_else(|| "no protocol can run it".into()))))
}

/// A plan that a server offers, as it is priced.
pub struct Offer {
    protocol: Protocol,
    /// None where its price cannot be told.
    work: Option<Work>,
    /// Whether its offline phase lies in a store.
    prepared: bool,
}

impl Offer {
    /// What a plan takes.
    pub fn new((protocol, plan): (Protocol, &handshake::Plan), reveal: Reveal, prepared: bool) -> Self {
        Self { protocol, work: work_of(protocol, plan, reveal).ok(), prepared }
    }

    /// Seconds of a prediction, both phases, or the online one alone where it is prepared; what has no price comes last.
    pub fn seconds(&self, rates: &Rates, link: Option<Link>) -> f64 {
        let Some(work) = &self.work else { return f64::INFINITY };
        let estimate = Estimate::new(work, rates, link);
        if self.prepared { estimate.online.seconds } else { estimate.total().seconds }
    }
}

/// The offer of least time on a link, with its seconds; the first of equals.
pub fn cheapest(offers: &[Offer], rates: &Rates, link: Option<Link>) -> Option<(f64, Protocol)> {
    let priced = offers.iter().map(|offer| (offer.seconds(rates, link), offer.protocol));
    priced.min_by(|(a, _), (b, _)| a.total_cmp(b))
}

/// The offer of least time on whatever link, if there is one. Time is all but linear in the round trip and in the time of a bit each way:
/// what is cheapest at all corners of the links there are is so between them.
pub fn cheapest_anywhere(offers: &[Offer], rates: &Rates) -> Option<Protocol> {
    const RATES: [u64; 2] = [1_000_000, 1_000_000_000_000];
    const TRIPS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
    let corners = RATES.into_iter().flat_map(|up| RATES.map(|down| (up, down)));
    let corners = corners.flat_map(|(up, down)| TRIPS.map(|rtt| Link { up, down, rtt }));
    let mut winners = corners.map(|link| cheapest(offers, rates, Some(link)).map(|(_, protocol)| protocol));
    let first = winners.next().flatten()?;
    winners.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use model::fixed::Op;
    use protocol::meter::Phase;
    use protocol::work::Unit;

    use super::*;
    use crate::choice::Numbers;

    fn work(source: &Source, variant: Variant) -> (FixedGraph, Work) {
        let (graph, _) = source.quantise(variant.number()).unwrap();
        let work = variant.work(&graph, Reveal::Scores, None).unwrap();
        (graph, work)
    }

    fn load(name: &str) -> Source {
        Source::load(name, &Numbers::default()).unwrap()
    }

    #[test]
    fn layers_of_a_circuit_add_up_to_its_price() {
        let source = load("builtin:deepsecure-3");
        for first in [FirstLayer::Ot, FirstLayer::Garbled] {
            let (graph, work) = work(&source, Variant::DeepSecure(first));
            let price = garbled::price(&graph, Reveal::Scores, first);
            let step = work.phase(Phase::Online);
            let counted =
                [Unit::StreamedAnd, Unit::StreamedKnownAnd, Unit::StreamedXor, Unit::WeightTransfer]
                    .map(|unit| step.amounts.get(unit) as u64);
            assert_eq!(counted, [price.ands, price.known_ands, price.xors, price.transfers]);
            assert_eq!(step.amounts.get(Unit::ProductTransfer) as u64, price.product_transfers);
            assert_eq!(step.bytes[0], price.table_bytes + price.product_bytes);
            let layers = work.layers.iter().filter(|layer| !layer.name.is_empty()).count();
            assert!(layers >= 3, "{layers}");
        }
    }

    #[test]
    fn stages_add_up_to_the_price_of_shares() {
        let source = load("builtin:gazelle-c");
        let variant = Variant::Gazelle(Method::HeCoefficients);
        let (graph, work) = work(&source, variant);
        let plan = Plan::choose(&graph, Method::HeCoefficients).unwrap();
        let price = plan.price(&graph, Reveal::Scores).unwrap();
        let [sent, returned] = plan.ciphertext_bytes(&graph).unwrap();
        let online = price.online_bytes();
        assert_eq!(work.phase(Phase::Online).bytes, [online[0] + sent, online[1] + returned]);
        assert_eq!(work.phase(Phase::Offline).bytes[1], price.offline_bytes()[1]);
        assert_eq!(work.phase(Phase::Offline).amounts.get(Unit::Transfer) as u64, price.late_bits);
        assert_eq!(work.phase(Phase::Online).amounts.get(Unit::OnlineStage) as usize, price.stages);
    }

    #[test]
    fn stages_add_up_to_the_price_of_what_is_made_ahead() {
        for (name, garbler) in
            [("builtin:gazelle-b", Garbler::Server), ("builtin:gazelle-c", Garbler::Client)]
        {
            let source = load(name);
            let (graph, work) = work(&source, Variant::Delphi(garbler, Method::HeCoefficients));
            let plan = Plan { garbler, ..Plan::choose(&graph, Method::HeCoefficients).unwrap() };
            let price = ahead::price((&graph, &plan), Reveal::Scores).unwrap();
            assert_eq!(work.phase(Phase::Offline).bytes, price.offline_bytes);
            assert_eq!(work.phase(Phase::Online).bytes, price.online_bytes);
            assert_eq!(work.stored(), price.stored_bytes);
            assert!(work.layers.iter().filter(|layer| layer.stored != [0; 2]).count() > 2);
        }
    }

    #[test]
    fn steps_on_ciphertexts_add_up_to_the_plans_own_seconds() {
        let source = load("builtin:lola-small");
        let (graph, work) = work(&source, Variant::Lola);
        let plan = protocol::encrypted::plan::Plan::find(&graph, &Default::default()).unwrap();
        let seconds = work.phase(Phase::Online).amounts.get(Unit::EncryptedSecond);
        assert!((seconds / plan.seconds - 1.0).abs() < 0.05, "{seconds} and {}", plan.seconds);
    }

    #[test]
    fn a_pass_of_many_inputs_has_the_products_of_its_layers() {
        let (source, rates) = (load("builtin:lola-small"), Rates::default());
        let (graph, work) = work(&source, Variant::LolaBatch);
        let plan = encrypted::batch::Plan::derive(&graph).unwrap();
        let conv = graph.nodes.iter().find(|node| matches!(node.op, Op::Conv { .. })).unwrap();
        let layer = work.layers.iter().find(|layer| layer.name == conv.name).unwrap();
        // 25 products an element, of all residues of all slots.
        let products = 25 * conv.shape.iter().product::<usize>();
        let residues = plan.degree * plan.data.len() * plan.plain.len();
        let online = layer.phases[Phase::Online as usize];
        assert_eq!(online.amounts.get(Unit::BatchedTerm) as usize, products * residues);
        // The last layer works on what is left of them after the square.
        let dense = graph.nodes.iter().rev().find(|node| matches!(node.op, Op::Dense { .. })).unwrap();
        let layer = work.layers.iter().find(|layer| layer.name == dense.name).unwrap();
        let products = graph.nodes[dense.inputs[0]].shape.iter().product::<usize>() * 10;
        let left = plan.degree * plan.levels.last().unwrap() * plan.plain.len();
        assert!(left < residues, "levels fall");
        let online = layer.phases[Phase::Online as usize];
        assert_eq!(online.amounts.get(Unit::BatchedTerm) as usize, products * left);
        let all = work.phase(Phase::Online).amounts;
        assert_eq!(all.get(Unit::BatchedResidue) as usize, 28 * 28 * residues);
        assert!(all.get(Unit::BatchedTransform) > 0.0);
        let priced = pass(&source, Reveal::Scores, (&rates, None)).unwrap();
        assert_eq!(priced.inputs, plan.degree);
        assert!(priced.priced.estimate.is_ok_and(|estimate| estimate.online.seconds > 0.0));
        assert!(pass(&source, Reveal::Label, (&rates, None)).is_none());
        assert!(pass(&load("builtin:gazelle-c"), Reveal::Scores, (&rates, None)).is_none());
    }

    #[test]
    fn a_link_matters_where_one_has_fewer_bytes_and_another_less_to_do() {
        let source = load("builtin:gazelle-b");
        let offer = |variant: Variant| Offer {
            protocol: variant.protocol(),
            work: Some(work(&source, variant).1),
            prepared: false,
        };
        let rates = Rates::default();
        let both =
            [offer(Variant::Gazelle(Method::HeCoefficients)), offer(Variant::DeepSecure(FirstLayer::Ot))];
        let on =
            |link: &str| cheapest(&both, &rates, Some(link.parse().unwrap())).map(|(_, protocol)| protocol);
        assert_eq!(on("1mbit,1ms"), Some(Protocol::Gazelle), "fewer bytes");
        assert!(cheapest_anywhere(&both[..1], &rates) == Some(Protocol::Gazelle));
        assert!(cheapest_anywhere(&[], &rates).is_none());
        // Whatever is said to win anywhere wins on links between the corners.
        let [gazelle, circuit] = &both;
        let same = Offer { protocol: Protocol::Delphi, work: circuit.work.clone(), prepared: true };
        let pair = [Offer { prepared: true, ..offer(Variant::DeepSecure(FirstLayer::Ot)) }, same];
        assert_eq!(cheapest_anywhere(&pair, &rates), Some(Protocol::DeepSecure), "the first of equals");
        if let Some(winner) = cheapest_anywhere(&both, &rates) {
            for link in ["lan", "wan", "20mbit/100mbit,30ms"] {
                assert_eq!(on(link), Some(winner));
            }
        }
        assert!(gazelle.seconds(&rates, Some(Link::WAN)) > gazelle.seconds(&rates, None));
        let unknown = Offer { protocol: Protocol::Lola, work: None, prepared: false };
        assert!(unknown.seconds(&rates, None).is_infinite());
    }

    #[test]
    fn what_cannot_run_is_named_and_never_chosen() {
        let rates = Rates::default();
        let relus = price(&load("builtin:gazelle-c"), &Variant::ALL, Reveal::Scores, (&rates, None));
        let refused: Vec<&Priced> = relus.iter().filter(|priced| priced.estimate.is_err()).collect();
        assert_eq!(refused.iter().map(|priced| priced.variant).collect::<Vec<_>>(), [Variant::Lola]);
        assert!(refused[0].estimate.as_ref().is_err_and(|why| why.contains("relu1")));
        assert!(best(&relus, false).is_some_and(|(best, _)| best.variant != Variant::Lola));
        assert!(best(&relus, true).is_some_and(|(best, _)| best.variant.protocol() == Protocol::Delphi));
        // Squares: what cannot hide the scores is left out where the label alone is wanted.
        let source = load("builtin:lola-small");
        let both = [Reveal::Scores, Reveal::Label];
        let [scores, label] = both.map(|reveal| price(&source, &Variant::ALL, reveal, (&rates, None)));
        let lola = |all: &[Priced]| all.iter().any(|p| p.variant == Variant::Lola && p.estimate.is_ok());
        assert!(lola(&scores) && !lola(&label));
        assert!(best(&label, false).is_some_and(|(best, _)| best.variant != Variant::Lola));
    }
}
