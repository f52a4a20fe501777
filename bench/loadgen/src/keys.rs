//! Tokens and ids: random to look at, made from a number, and so known again.

/// An ASCII text of a fixed length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// The text.
    ///
    /// # Panics
    ///
    /// Never: only ASCII goes in.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII")
    }

    /// The text, owned.
    pub fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// A token of 36 bytes, in the form of a UUID.
pub type Token = Text<36>;
/// `hook_` and 22 characters.
pub type HookId = Text<27>;
/// `run_` and 22 characters.
pub type RunId = Text<26>;
/// `payload_` and 22 characters.
pub type PayloadId = Text<30>;

const HEX: &[u8; 16] = b"0123456789abcdef";
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// Makes the ids and tokens of one load.
///
/// Different numbers give different texts. Different prefixes, seeds or labels give sequences
/// that meet as seldom as random ones of 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    high: u64,
    low: u64,
}

impl Keys {
    /// The ids and tokens that belong to these three.
    pub fn new(prefix: &str, seed: u64, label: &str) -> Self {
        let mut high = mix(seed);
        for byte in prefix.bytes().chain([0xff]).chain(label.bytes()) {
            high = mix(high ^ u64::from(byte));
        }
        Self {
            high,
            low: mix(high ^ seed),
        }
    }

    /// The token with this number.
    pub fn token(&self, number: u64) -> Token {
        let bits = self.bits(number, 0);
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
        for (digit, place) in places.enumerate() {
            text[place] = HEX[(bits >> (4 * digit)) as usize & 15];
        }
        Text(text)
    }

    /// The id of the hook with this number.
    pub fn hook(&self, number: u64) -> HookId {
        Text(self.id(b"hook_", number, 1))
    }

    /// The id of the run with this number.
    pub fn run(&self, number: u64) -> RunId {
        Text(self.id(b"run_", number, 2))
    }

    /// The id of the payload with this number.
    pub fn payload(&self, number: u64) -> PayloadId {
        Text(self.id(b"payload_", number, 3))
    }

    /// A number that looks random, for choices that depend on `number` alone.
    pub fn choice(&self, number: u64) -> u64 {
        self.bits(number, 4) as u64
    }

    fn id<const N: usize>(&self, kind: &[u8], number: u64, use_: u64) -> [u8; N] {
        let bits = self.bits(number, use_);
        let mut text = [0; N];
        text[..kind.len()].copy_from_slice(kind);
        for (digit, place) in text[kind.len()..].iter_mut().enumerate() {
            *place = DIGITS[(bits >> (6 * digit)) as usize & 63];
        }
        text
    }

    /// 128 bits; the lower half is a bijection of `number`, so no two numbers share them.
    fn bits(&self, number: u64, use_: u64) -> u128 {
        let low = mix(number ^ self.low ^ use_ << 56);
        let high = mix(low ^ self.high);
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A bijection of 64 bits that spreads every bit (the finalizer of `SplitMix64`; Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_token_looks_like_a_uuid_and_is_known_again() {
        let token = Keys::new("p", 7, "claim").token(3);
        let lengths: Vec<usize> = token.as_str().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(
            token
                .as_str()
                .chars()
                .all(|c| c == '-' || c.is_ascii_hexdigit())
        );
        assert_eq!(token, Keys::new("p", 7, "claim").token(3));
        let digits = token.as_str().replace('-', "");
        assert_ne!(digits[..16], digits[16..], "both halves are random");
    }

    #[test]
    fn ids_have_their_kind_and_22_characters() {
        let keys = Keys::new("p", 7, "claim");
        assert!(keys.hook(1).as_str().starts_with("hook_"));
        assert!(keys.run(1).as_str().starts_with("run_"));
        assert!(keys.payload(1).as_str().starts_with("payload_"));
        assert_eq!(keys.hook(1).as_str().len(), 5 + 22);
        assert_ne!(keys.hook(1).as_str()[5..], keys.run(1).as_str()[4..]);
    }

    #[test]
    fn no_token_comes_twice_whatever_differs() {
        let mut seen = HashSet::new();
        for prefix in ["", "a", "b"] {
            for seed in [0, 1, 2, u64::MAX] {
                for label in ["", "a", "fill"] {
                    let keys = Keys::new(prefix, seed, label);
                    for number in 0..1000 {
                        assert!(seen.insert(keys.token(number)));
                    }
                }
            }
        }
    }
}
