//! `--link`: a slower network than the one at hand.

use std::str::FromStr;
use std::time::Duration;

/// A link of a stated bandwidth and delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Bits a second, each way.
    pub rate: f64,
    /// Time there and back.
    pub rtt: Duration,
}

/// A local network: 1 Gbit/s, 0.3 ms.
const LAN: Link = Link { rate: 1e9, rtt: Duration::from_micros(300) };
/// A wide-area network: 100 Mbit/s, 40 ms.
const WAN: Link = Link { rate: 1e8, rtt: Duration::from_millis(40) };

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lan" => return Ok(LAN),
            "wan" => return Ok(WAN),
            _ => {}
        }
        let wanted = || "wanted lan, wan or RATE,RTT such as 100mbit,40ms".to_owned();
        let (rate, rtt) = text.split_once(',').ok_or_else(wanted)?;
        let rate = quantity(rate, &[("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)]).ok_or_else(wanted)?;
        let rtt = quantity(rtt, &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)]).ok_or_else(wanted)?;
        if !(1e3..=1e12).contains(&rate) || !(0.0..=10.0).contains(&rtt) {
            return Err("the rate lies between 1kbit and 1000gbit, the round trip between 0s and 10s".to_owned());
        }
        Ok(Self { rate, rtt: Duration::from_secs_f64(rtt) })
    }
}

/// A number with one of the units, in the first unit's base.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    number.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_quantities() {
        assert_eq!("lan".parse(), Ok(LAN));
        assert_eq!("100mbit,40ms".parse(), Ok(WAN));
        assert_eq!("1Gbit, 300us".parse(), Ok(LAN));
        assert_eq!("2.5mbit,1s".parse(), Ok(Link { rate: 2.5e6, rtt: Duration::from_secs(1) }));
        for bad in ["", "fast", "100mbit", "100,40", "nanmbit,1s", "infmbit,1s", "-1mbit,1s", "1mbit,-1s", "0kbit,1s"] {
            assert!(bad.parse::<Link>().is_err(), "{bad}");
        }
    }
}
