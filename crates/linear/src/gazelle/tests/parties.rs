//! Layers between two parties, and what the one with the key sees.

use bfv::Ciphertext;
use kernel::seed::Seed;

use super::*;
use crate::coefficients::Need;

fn seed(number: u8) -> Seed {
    Seed::from_bytes([number; 32])
}

/// Two parties with all keys.
fn parties(setting: &Setting) -> (Client, Server) {
    let key = seed(1);
    let client = Client::new(&setting.parameters, &key);
    let mut server = Server::new(&setting.parameters, &client.public_key(&key).unwrap()).unwrap();
    for step in setting.steps() {
        let bytes = client.rotation_key(step, &key).unwrap();
        assert_eq!(bytes.len(), Client::key_bytes(&setting.parameters));
        server.take_key(step, &bytes).unwrap();
    }
    (client, server)
}

fn need(shape: Shape) -> Need {
    Need { shape, weight_bits: 8 }
}

/// Runs a layer both ways of having weights, on shares; the sums of the parties' shares are the result.
fn check(setting: &Setting, layer: usize, (client, server): (&Client, &Server)) {
    let (product, p) = (&setting.products[layer], setting.modulus() as i64);
    let shape = product.shape();
    let (x, w) = (numbers(shape.inputs(), 12, 5), numbers(shape.weights(), 8, 6));
    let own: Vec<u64> = numbers(x.len(), 40, 9).iter().map(|r| r.rem_euclid(p) as u64).collect();
    let rest: Vec<u64> = x.iter().zip(&own).map(|(x, s)| (x - *s as i64).rem_euclid(p) as u64).collect();
    let messages = client.encrypt(product, &rest, &seed(2)).unwrap();
    assert!(messages.iter().all(|m| m.len() == Client::sent_bytes(&setting.parameters)));
    let weight = |index: usize| w[index];
    for factors in [Factors::encode(setting, layer, weight).unwrap(), Factors::on_the_fly()] {
        let mine = server.shares(setting, layer, &seed(3)).unwrap();
        let operands = server.receive(product, &own, &messages).unwrap();
        let replies = server.run((setting, layer), (&factors, weight), &operands, &seed(3)).unwrap();
        let bytes = Client::reply_bytes(&setting.parameters, setting.replies[layer]);
        assert!(replies.iter().all(|reply| reply.len() == bytes));
        let theirs = client.decrypt(setting, layer, &replies).unwrap();
        let expected = reference(shape, &x, &w);
        assert!(mine.iter().chain(&theirs).all(|share| *share < p as u64));
        for ((mine, theirs), expected) in mine.iter().zip(&theirs).zip(expected) {
            assert_eq!((*mine + *theirs) as i64 % p, expected.rem_euclid(p), "{:?}", product.method());
        }
    }
}

#[test]
fn layers_on_shares() {
    let needs = [
        need(Shape::dense(2, 300, 20)),
        need(Shape { stride: [2, 2], ..convolution(1, 5, [28, 28], [5, 5]) }),
        need(Shape { groups: 4, ..convolution(8, 8, [9, 9], [3, 3]) }),
        need(convolution(2, 3, [70, 70], [1, 3])),
    ];
    // Weights that are encoded each time: in 32 bits a coefficient, and in more.
    for (bits, degree) in [(30, 8192), (38, 8192)] {
        let setting = Setting::choose(&needs, bits).unwrap();
        assert_eq!(setting.parameters.degree(), degree);
        let (client, server) = parties(&setting);
        (0..needs.len()).for_each(|layer| check(&setting, layer, (&client, &server)));
    }
}

#[test]
fn methods_that_were_not_chosen() {
    let dense = &need(Shape::dense(1, 60, 20));
    let plane = &need(convolution(2, 3, [12, 12], [3, 3]));
    let literal = {
        let setting = Setting::choose(&[dense.clone(), plane.clone()], 24).unwrap();
        let literal = setting.parameters.literal().clone();
        (literal.degree, literal.data, literal.special)
    };
    let methods = [
        Method::Naive,
        Method::Hybrid { rows: 4, baby: 2, fold: Fold::Server },
        Method::Hybrid { rows: 64, baby: 64, fold: Fold::Server },
        Method::Bordered,
        Method::Padded { phases: Phases::Slots, baby: 256 },
        Method::Padded { phases: Phases::Slots, baby: 4096 },
    ];
    let needs: Vec<Need> = [dense, dense, dense, plane, plane, plane].map(Clone::clone).to_vec();
    let setting = Setting::checked(&needs, 24, literal.clone(), &methods).unwrap();
    let (client, server) = parties(&setting);
    (0..needs.len()).for_each(|layer| check(&setting, layer, (&client, &server)));
    // What somebody else could not have chosen.
    let (degree, data, special) = literal;
    let refused = |degree, data: Vec<u64>, special, methods: &[Method]| {
        assert!(Setting::checked(&needs, 24, (degree, data, special), methods).is_err());
    };
    refused(4096, data.clone(), special, &methods);
    refused(degree, data[1..].to_vec(), special, &methods);
    refused(degree, Vec::new(), special, &methods);
    refused(degree, data.repeat(2), special, &methods);
    refused(degree, data.clone(), special, &methods[1..]);
    refused(degree, data, special, &[Method::Naive; 6]);
}

#[test]
fn replies_say_nothing_of_the_weights() {
    // Weights of zero against full-range factors, whose noise is some thirty bits larger.
    let need = need(Shape::dense(1, 64, 256));
    let setting = Setting::choose(core::slice::from_ref(&need), 30).unwrap();
    let (client, server) = parties(&setting);
    let (product, parameters) = (&setting.products[0], &setting.parameters);
    let degree = parameters.degree() as f64;
    let messages = client.encrypt(product, &[0; 64], &seed(2)).unwrap();
    let operands = server.receive(product, &[0; 64], &messages).unwrap();
    let (mut bare, mut largest) = (Vec::new(), 0f64);
    for weights in [vec![0; need.shape.weights()], numbers(need.shape.weights(), 8, 3)] {
        let results =
            server.products(product, (&Factors::on_the_fly(), |index| weights[index]), &operands).unwrap();
        let measure = |c: &Ciphertext| client.secret().measure_noise(parameters, c).unwrap();
        // As it is, the noise tells them apart.
        bare.push(measure(&results[0]).log2_deviation);
        for round in 0..16 {
            let seed = seed(10 + round);
            let covered = server.cover(results[0].clone(), setting.floods[0], &seed, 0).unwrap();
            let found = measure(&covered);
            // A uniform number's deviation, whose square's mean over N coefficients has a relative deviation of
            // sqrt(0.8 / N): seven of them, below 1e-11.
            let expected = f64::from(setting.floods[0]) - 12f64.log2() / 2.0;
            let ratio = (2.0 * (found.log2_deviation - expected)).exp2();
            assert!((ratio - 1.0).abs() < 7.0 * (0.8 / degree).sqrt(), "{ratio}");
            // No coefficient is beyond the bound, and the largest is near it.
            largest = largest.max(found.log2_max - f64::from(setting.floods[0] - 1));
            assert!(found.log2_max < f64::from(setting.floods[0] - 1) + 1e-6);
        }
    }
    assert!(bare[1] > bare[0] + 10.0, "{bare:?}");
    assert!(largest > -0.01, "{largest}");
    // The flooding is that of the bound, not of what was found.
    let most = bare[1] + bfv::TAIL.log2();
    assert!(f64::from(setting.floods[0]) >= most + 40.0 + degree.log2() + 1.0 - 0.1);
    assert!(parameters.log2_modulus(parameters.limbs()) > f64::from(setting.floods[0]) + 31.0);
}

#[test]
fn hostile_messages_are_refused() {
    let needs = [need(Shape::dense(1, 20, 10)), need(convolution(1, 2, [6, 6], [3, 3]))];
    let setting = Setting::choose(&needs, 20).unwrap();
    let (client, mut server) = parties(&setting);
    let product = &setting.products[1];
    let steps = setting.steps();
    let key = client.rotation_key(steps[0], &seed(1)).unwrap();
    assert!(server.take_key(steps[0], &key[1..]).is_err());
    assert!(server.take_key(steps[1], &key).is_err());
    assert!(Server::new(&setting.parameters, &key).is_err());
    let elements = needs[1].shape.inputs();
    assert!(client.encrypt(product, &vec![0; elements - 1], &seed(2)).is_err());
    assert!(client.encrypt(product, &vec![setting.modulus(); elements], &seed(2)).is_err());
    let messages = client.encrypt(product, &vec![1; elements], &seed(2)).unwrap();
    assert!(server.receive(product, &vec![0; elements], &[]).is_err());
    assert!(server.receive(product, &[0], &messages).is_err());
    let short: Vec<Vec<u8>> = messages.iter().map(|m| m[..m.len() - 1].to_vec()).collect();
    assert!(server.receive(product, &vec![0; elements], &short).is_err());
    assert!(client.decrypt(&setting, 1, &[]).is_err());
    assert!(client.decrypt(&setting, 1, &messages).is_err());
    assert!(Setting::choose(&needs, 60).is_err());
    assert!(Setting::choose(&[], 20).is_err());
}
