//! Claims as the store keeps them, read back without any object.
//!
//! A key is the byte that names the table, the project, a NUL and the token; a
//! value is a `hookd_daemon.records.v1.ClaimRecord`. Of the value the index
//! needs two numbers. A million protobuf objects in Python took longer than all
//! the rest of a start.

use std::fmt;

/// The fields of a `ClaimRecord` that the index needs.
const RUN_UID: u64 = 1;
const REVISION: u64 = 4;

/// What a stored claim says to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredClaim<'a> {
    /// The project.
    pub project: &'a str,
    /// The token.
    pub token: &'a [u8],
    /// The uid of the run that owns it.
    pub run: u64,
    /// The claim's fencing number.
    pub revision: u64,
}

/// A stored claim that cannot be read.
///
/// It tells what is wrong, and neither the key nor the value: tokens are secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl<'a> StoredClaim<'a> {
    /// Reads a claim from its key and its value.
    ///
    /// Fields may stand in any order; the last of several with one number
    /// counts, and one that is not known is passed over, as in all of protobuf.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(key: &'a [u8], value: &[u8]) -> Result<Self, Malformed> {
        let rest = key.get(1..).ok_or(Malformed("an empty key"))?;
        let end = rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or(Malformed("a key without a project"))?;
        let project = std::str::from_utf8(&rest[..end]);
        let (run, revision) = numbers(value)?;
        Ok(Self {
            project: project.map_err(|_| Malformed("a project that is no text"))?,
            token: &rest[end + 1..],
            run,
            revision,
        })
    }
}

/// The run's uid and the revision of a `ClaimRecord`.
fn numbers(record: &[u8]) -> Result<(u64, u64), Malformed> {
    let (mut run, mut revision) = (0, 0);
    let mut rest = Rest(record);
    while !rest.0.is_empty() {
        let tag = rest.varint()?;
        let field = tag >> 3;
        if field == 0 || tag > u64::from(u32::MAX) {
            return Err(Malformed("a record with a field that cannot be"));
        }
        match tag & 7 {
            0 => {
                let number = rest.varint()?;
                match field {
                    RUN_UID => run = number,
                    REVISION => revision = number,
                    _ => {}
                }
            }
            1 => rest.pass(8)?,
            2 => {
                let length = rest.varint()?;
                rest.pass(length)?;
            }
            5 => rest.pass(4)?,
            _ => {
                return Err(Malformed(
                    "a record with a field of a kind that is not used",
                ));
            }
        }
    }
    Ok((run, revision))
}

/// What is left of a record.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// A number in base 128, the lowest digit first, of at most ten digits.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            // Of the tenth digit one bit is left; protobuf drops the others.
            number |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok(number);
            }
        }
        Err(Malformed("a record with a number that does not end"))
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Malformed> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.0 = self
            .0
            .get(bytes..)
            .ok_or(Malformed("a record that is cut off"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"Tshop\0order-1";

    #[test]
    fn a_claim_is_its_key_and_two_numbers() {
        let claim = StoredClaim::decode(b"Tshop\0a\0b", &[0x08, 0x96, 0x01, 0x20, 0x07]);
        let expected = StoredClaim {
            project: "shop",
            token: b"a\0b",
            run: 150,
            revision: 7,
        };
        assert_eq!(claim, Ok(expected));
    }

    #[test]
    fn every_cut_of_a_record_is_a_record_or_refused() {
        // Number, text, eight bytes, four bytes; the numbers have all 64 bits.
        let mut record = vec![0x20];
        record.extend([0xff; 9]);
        record.extend([0x01, 0x12, 0x02, b'a', b'b', 0x79, 1, 2, 3, 4, 5, 6, 7, 8]);
        record.extend([0x7d, 1, 2, 3, 4, 0x08, 0x05]);
        let ends_of_fields = [0, 11, 15, 24, 29, 31];
        for cut in 0..=record.len() {
            let claim = StoredClaim::decode(KEY, &record[..cut]);
            assert_eq!(claim.is_ok(), ends_of_fields.contains(&cut), "{cut}");
        }
        let claim = StoredClaim::decode(KEY, &record).unwrap();
        assert_eq!((claim.run, claim.revision), (5, u64::MAX));
    }

    #[test]
    fn nonsense_is_refused() {
        for record in [
            &[0x00, 0x01][..],                         // field 0
            &[0x0b][..],                               // a group
            &[0x0e, 0x01][..],                         // a kind that does not exist
            &[0x80, 0x80, 0x80, 0x80, 0x10, 0x01][..], // a field above 2^29
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1][..],
            &[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1][..],
        ] {
            assert!(StoredClaim::decode(KEY, record).is_err(), "{record:?}");
        }
        for key in [&b""[..], b"T", b"Tshop", b"T\xff\0token"] {
            assert!(StoredClaim::decode(key, &[]).is_err(), "{key:?}");
        }
    }
}
