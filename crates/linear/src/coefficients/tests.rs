//! Equality with sums written out, costs, and what the client sees.

use bfv::{Parameters, ReplyShape};
use kernel::seed::Seed;
use proptest::prelude::*;

use super::*;

fn seed(number: u8) -> Seed {
    Seed::from_bytes([number; 32])
}

/// Pseudorandom numbers of `bits` bits.
fn numbers(count: usize, bits: u32, seed: u64) -> Vec<u64> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state >> 29) >> (64 - bits)
    };
    (0..count).map(|_| next()).collect()
}

fn weights(shape: &Shape, bits: u32, seed: u64) -> Vec<i64> {
    numbers(shape.weights(), bits, seed).into_iter().map(|w| w as i64 - (1 << (bits - 1))).collect()
}

/// The convolution as its definition states it, modulo 2^bits.
fn reference(shape: &Shape, x: &[u64], w: &[i64], bits: u32) -> Vec<u64> {
    let out = shape.output().unwrap();
    let (per_group, kernel) = (shape.channels / shape.groups, shape.kernel);
    let mut y = vec![0u64; shape.batch * shape.filters * out[0] * out[1]];
    for image in 0..shape.batch {
        for filter in 0..shape.filters {
            let group = filter / (shape.filters / shape.groups);
            for at in (0..out[0]).flat_map(|row| (0..out[1]).map(move |column| [row, column])) {
                let mut sum = 0u64;
                for (c, tap) in (0..per_group).flat_map(|c| (0..kernel[0] * kernel[1]).map(move |t| (c, t))) {
                    let tap_at = [tap / kernel[1], tap % kernel[1]];
                    let place = [0, 1].map(|a| {
                        (at[a] * shape.stride[a] + tap_at[a] * shape.dilation[a]).wrapping_sub(shape.pads[a])
                    });
                    if place[0] < shape.plane[0] && place[1] < shape.plane[1] {
                        let element = x
                            [shape.place((image, group * per_group + c), place, shape.channels, shape.plane)];
                        let weight = w[(filter * per_group + c) * kernel[0] * kernel[1] + tap];
                        sum = sum.wrapping_add(element.wrapping_mul(weight as u64));
                    }
                }
                y[shape.place((image, filter), at, shape.filters, out)] = sum & (u64::MAX >> (64 - bits));
            }
        }
    }
    y
}

/// Runs a kernel in the clear.
fn in_clear(layout: &Layout, degree: usize, x: &[u64], w: &[i64], bits: u32) -> Vec<u64> {
    let clear = Clear::new(degree, bits);
    let mut operands = Vec::new();
    for (channels, block) in
        (0..layout.channel_tiles()).flat_map(|c| (0..layout.blocks()).map(move |b| (c, b)))
    {
        let mut polynomial = vec![0; degree];
        layout.fill(channels, block, x, &mut polynomial);
        operands.push(polynomial);
    }
    let factors = Factors::encode(&clear, layout, |i| w[i]).unwrap();
    let results = apply(&clear, layout, &factors, |i| w[i], &operands).unwrap();
    let again = apply(&clear, layout, &Factors::on_the_fly(), |i| w[i], &operands).unwrap();
    assert_eq!(results, again);
    let mut y = vec![0; layout.outputs()];
    for (index, result) in results.iter().enumerate() {
        let (positions, places) = layout.results(index / layout.blocks(), index % layout.blocks());
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
        positions.iter().zip(places).for_each(|(p, place)| y[place] = result[*p as usize]);
    }
    y
}

prop_compose! {
    fn shapes()(
        batch in 1usize..3, group in (1usize..4, 1usize..4), groups in 1usize..4,
        plane in (1usize..9, 1usize..9), kernel in (1usize..4, 1usize..4), stride in (1usize..4, 1usize..4),
        dilation in (1usize..3, 1usize..3), pads in proptest::array::uniform4(0usize..3), channels_last: bool,
    ) -> Shape {
        Shape {
            batch, channels: group.0 * groups, plane: [plane.0, plane.1], filters: group.1 * groups, groups,
            kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], dilation: [dilation.0, dilation.1],
            pads, channels_last,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn chosen_tilings_give_the_convolution_at_the_counted_cost(shape in shapes(), degree in 6u32..10) {
        prop_assume!(shape.output().is_ok());
        let degree = 1 << degree;
        let chosen = Tiling::choose(&shape, degree, Link::LAN);
        prop_assume!(chosen.is_ok());
        let (tiling, cost) = chosen.unwrap();
        let layout = Layout::new(&shape, tiling, degree).unwrap();
        let (x, w) = (numbers(shape.inputs(), 20, 5), weights(&shape, 8, 6));
        prop_assert_eq!(in_clear(&layout, degree, &x, &w, 20), reference(&shape, &x, &w, 20));
        let count = Count::default();
        let operands = vec![(); layout.channel_tiles() * layout.blocks()];
        prop_assert_eq!(operands.len() as u64, cost.sent);
        let results = apply(&count, &layout, &Factors::on_the_fly(), |i| w[i], &operands).unwrap();
        prop_assert_eq!(results.len() as u64, cost.returned);
        let counts = count.counts();
        prop_assert_eq!((counts.products, counts.factors, counts.sums), (cost.products, cost.factors, cost.returned));
    }

    #[test]
    fn any_tiling_that_fits_gives_the_convolution(
        shape in shapes(), channels in 1usize..7, filters in 1usize..7, block in (1usize..6, 1usize..6),
    ) {
        prop_assume!(shape.output().is_ok());
        let tiling = Tiling { channels, filters, block: [block.0, block.1] };
        let Ok(layout) = Layout::new(&shape, tiling, 256) else { return Ok(()) };
        let (x, w) = (numbers(shape.inputs(), 20, 7), weights(&shape, 8, 8));
        prop_assert_eq!(in_clear(&layout, 256, &x, &w, 20), reference(&shape, &x, &w, 20));
    }
}

/// A layer between two parties: both shares of twice the result.
struct Run {
    client: Vec<u64>,
    server: Vec<u64>,
    replies: Vec<Vec<u8>>,
    parameters: Parameters,
    reply: ReplyShape,
}

fn run(need: &Need, bits: u32, (x, w): (&[u64], &[i64]), number: u8) -> Run {
    let setting = Setting::choose(std::slice::from_ref(need), bits, Link::LAN).unwrap();
    let (layout, reply, parameters) = (&setting.layouts[0], setting.replies[0], &setting.parameters);
    let (client, public) = Client::new(parameters, &seed(number)).unwrap();
    let server = Server::new(parameters, &public).unwrap();
    let servers_x = numbers(x.len(), bits, 1000 + u64::from(number));
    let mask = u64::MAX >> (64 - bits);
    let clients_x: Vec<u64> = x.iter().zip(&servers_x).map(|(x, s)| x.wrapping_sub(*s) & mask).collect();
    let messages = client.encrypt(layout, &clients_x, &seed(number + 1)).unwrap();
    assert!(messages.iter().all(|message| message.len() == Client::sent_bytes(parameters)));
    let servers = server.shares(layout, reply, &seed(number + 2)).unwrap();
    let operands = server.receive(layout, &servers_x, &messages).unwrap();
    let factors = Factors::encode(&Bfv::new(parameters), layout, |i| w[i]).unwrap();
    let replies = server.run(layout, reply, (&factors, |i| w[i]), &operands, &seed(number + 2)).unwrap();
    for (index, message) in replies.iter().enumerate() {
        assert_eq!(message.len(), Client::reply_bytes(parameters, layout, reply, index));
    }
    let share = client.decrypt(layout, reply, &replies).unwrap();
    Run { client: share, server: servers, replies, parameters: setting.parameters.clone(), reply }
}

#[test]
fn shares_of_a_layer_add_up_to_twice_the_result_or_one_more() {
    let conv = Shape {
        batch: 1,
        channels: 6,
        plane: [14, 13],
        filters: 5,
        groups: 1,
        kernel: [3, 3],
        stride: [2, 1],
        dilation: [1, 2],
        pads: [1, 2, 1, 0],
        channels_last: false,
    };
    let depthwise = Shape { filters: 6, groups: 6, ..conv.clone() };
    let layers = [conv, depthwise, Shape::dense(1, 784, 30), Shape::dense(7, 20, 9)];
    for (number, (shape, bits)) in layers.into_iter().zip([31, 24, 37, 60]).enumerate() {
        let (x, w) = (numbers(shape.inputs(), bits, 3), weights(&shape, 12, 4));
        let need = Need { shape: shape.clone(), weight_bits: 12 };
        let run = run(&need, bits, (&x, &w), 10 * number as u8 + 1);
        let mask = u64::MAX >> (63 - bits);
        let expected = reference(&shape, &x, &w, bits);
        for (i, y) in expected.iter().enumerate() {
            let sum = run.client[i].wrapping_add(run.server[i]) & mask;
            assert!(sum >> 1 == *y, "{shape:?}: {i}: {sum} is not twice {y}");
        }
    }
}

/// The statistic of how often each value of the lowest six bits of every field of 48 bits occurs, as a standard normal.
fn uniformity(values: impl Iterator<Item = u64>) -> f64 {
    let mut bins = [0f64; 64];
    let mut total = 0f64;
    for value in values {
        bins[(value & 63) as usize] += 1.0;
        total += 1.0;
    }
    let expected = total / 64.0;
    let chi: f64 = bins.iter().map(|bin| (bin - expected).powi(2) / expected).sum();
    // Wilson and Hilferty.
    ((chi / 63.0).powf(1.0 / 3.0) - (1.0 - 2.0 / (9.0 * 63.0))) / (2.0f64 / (9.0 * 63.0)).sqrt()
}

#[test]
fn replies_say_nothing_of_the_weights() {
    // All weights zero against all of them as large as they can be: the noise before masking differs by four orders of
    // magnitude, and so would the second half of the ciphertexts without re-randomisation.
    let shape = Shape::dense(1, 200, 400);
    let need = Need { shape: shape.clone(), weight_bits: 12 };
    let x = vec![0u64; 200];
    let mut statistics = Vec::new();
    let mut fractions = Vec::new();
    for (number, weight) in [0i64, -2048].into_iter().enumerate() {
        let w = vec![weight; shape.weights()];
        let (mut shares, mut bytes, mut ones, mut total) = (Vec::new(), Vec::new(), 0u64, 0u64);
        for round in 0..8 {
            let run = run(&need, 31, (&x, &w), 100 + 16 * round + 4 * number as u8);
            ones += run.client.iter().zip(&run.server).map(|(a, b)| a.wrapping_add(*b) & 1).sum::<u64>();
            total += run.client.len() as u64;
            shares.extend(run.client);
            // The shape's header aside, the packed halves.
            bytes.extend(run.replies.into_iter().flat_map(|reply| reply[13..reply.len() - 8].to_vec()));
            assert!(run.parameters.limbs() >= run.reply.limbs);
        }
        statistics.push(uniformity(shares.iter().copied()));
        statistics.push(uniformity(shares.iter().map(|share| share >> 26)));
        statistics.push(uniformity(bytes.iter().map(|byte| u64::from(*byte))));
        fractions.push(ones as f64 / total as f64);
    }
    // Seven deviations: below 1e-11.
    assert!(statistics.iter().all(|z| z.abs() < 7.0), "{statistics:?}");
    // The carry of the roundings is even in both cases: 3200 coins, seven deviations.
    assert!(
        fractions.iter().all(|fraction| (fraction - 0.5).abs() < 7.0 * 0.5 / 3200f64.sqrt()),
        "{fractions:?}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = Shape::dense(1, 10, 10);
    assert!(Shape { groups: 3, ..good.clone() }.output().is_err());
    assert!(Shape { stride: [0, 1], ..good.clone() }.output().is_err());
    assert!(Shape { kernel: [2, 1], ..good.clone() }.output().is_err());
    assert!(Shape { channels: 1 << 40, ..good.clone() }.output().is_err());
    let tiling = Tiling { channels: 10, filters: 10, block: [1, 1] };
    assert!(Layout::new(&good, tiling, 64).is_err());
    assert!(Layout::new(&good, Tiling { filters: 0, ..tiling }, 1024).is_err());
    assert!(Layout::new(&good, Tiling { channels: usize::MAX, ..tiling }, 1024).is_err());
    assert!(Setting::choose(&[Need { shape: good.clone(), weight_bits: 12 }], 63, Link::LAN).is_err());
    assert!(Setting::choose(&[], 32, Link::LAN).is_err());
    let setting = Setting::choose(&[Need { shape: good, weight_bits: 12 }], 32, Link::LAN).unwrap();
    let (client, public) = Client::new(&setting.parameters, &seed(1)).unwrap();
    let layout = &setting.layouts[0];
    assert!(Server::new(&setting.parameters, &public[1..]).is_err());
    assert!(client.encrypt(layout, &[1; 9], &seed(2)).is_err());
    assert!(client.decrypt(layout, setting.replies[0], &[]).is_err());
}

#[test]
fn tilings_of_the_papers_networks() {
    // Gazelle's network A and MiniONN's second convolution: ciphertexts sent and returned.
    let cases = [
        (Shape::dense(1, 784, 128), 2048, 18),
        (
            Shape {
                batch: 1,
                channels: 64,
                plane: [32, 32],
                filters: 64,
                groups: 1,
                kernel: [3, 3],
                stride: [1, 1],
                dilation: [1, 1],
                pads: [1; 4],
                channels_last: false,
            },
            4096,
            86,
        ),
    ];
    for (shape, degree, most) in cases {
        let (tiling, cost) = Tiling::choose(&shape, degree, Link::LAN).unwrap();
        assert!(cost.sent + cost.returned <= most, "{tiling:?} {cost:?}");
    }
}

#[test]
fn slower_links_get_tilings_of_fewer_bytes() {
    let [slow, fast] = [1e5, 1e12].map(|rate| Link { rate });
    let conv = |channels, plane, filters, kernel: usize, stride| Shape {
        batch: 1,
        channels,
        plane: [plane; 2],
        filters,
        groups: 1,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1, 1],
        pads: [kernel / 2; 4],
        channels_last: false,
    };
    let shapes = [
        Shape::dense(1, 2048, 1001),
        conv(64, 56, 64, 3, 1),
        conv(256, 14, 512, 1, 2),
        conv(3, 224, 64, 7, 2),
    ];
    let mut fewer = 0;
    for shape in shapes {
        let [few, quick] = [slow, fast].map(|link| Tiling::choose(&shape, 4096, link).unwrap().1);
        assert!(few.bytes(4096) <= quick.bytes(4096), "{few:?} {quick:?}");
        assert!(quick.seconds(4096, fast) <= few.seconds(4096, fast), "{few:?} {quick:?}");
        fewer += usize::from(few.bytes(4096) < quick.bytes(4096));
    }
    assert!(fewer > 0);
}

#[test]
fn rows_longer_than_the_ring() {
    // Rows of 3000 in a ring of 512: as many ciphertexts as the row fills, and several outputs in each reply.
    let (shape, degree, bits) = (Shape::dense(1, 3000, 7), 512, 30);
    let (x, w) = (numbers(3000, bits, 5), weights(&shape, 8, 6));
    let (tiling, cost) = Tiling::choose(&shape, degree, Link::LAN).unwrap();
    let layout = Layout::new(&shape, tiling, degree).unwrap();
    assert_eq!(in_clear(&layout, degree, &x, &w, bits), reference(&shape, &x, &w, bits));
    // No more than the better of one output a reply and all outputs in one.
    let extremes = [[512, 1], [512 / 7, 7]];
    let least = extremes.map(|[channels, filters]| 3000usize.div_ceil(channels) + 7usize.div_ceil(filters));
    assert!(cost.sent + cost.returned <= least.into_iter().min().unwrap() as u64, "{tiling:?} {cost:?}");
    // VGG's first matrix, in a ring of the size that networks get: the ciphertexts sent carry nothing twice.
    let (tiling, cost) = Tiling::choose(&Shape::dense(1, 25_088, 4096), 4096, Link::LAN).unwrap();
    assert!(cost.sent + cost.returned <= 700, "{tiling:?} {cost:?}");
}

#[test]
fn strides_cost_no_more_than_without_and_drop_nothing() {
    let strided = Shape {
        batch: 1,
        channels: 16,
        plane: [28, 28],
        filters: 16,
        groups: 1,
        kernel: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [1; 4],
        channels_last: false,
    };
    let whole = Shape { stride: [1, 1], ..strided.clone() };
    let [(tiling, cost), (_, full)] =
        [&strided, &whole].map(|shape| Tiling::choose(shape, 4096, Link::LAN).unwrap());
    assert!(cost.sent + cost.returned <= full.sent + full.returned, "{cost:?} {full:?}");
    assert!(cost.products <= full.products, "{cost:?} {full:?}");
    // Coefficients that are returned: the outputs, each once.
    let layout = Layout::new(&strided, tiling, 4096).unwrap();
    let tiles =
        (0..layout.filter_tiles()).flat_map(|tile| (0..layout.blocks()).map(move |block| (tile, block)));
    let mut places: Vec<usize> = tiles.flat_map(|(tile, block)| layout.results(tile, block).1).collect();
    places.sort_unstable();
    assert_eq!(places, (0..16 * 14 * 14).collect::<Vec<_>>());
}
