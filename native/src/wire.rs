//! Protobuf on the wire: just what the records and requests of claims need.
//!
//! The encoding is that of <https://protobuf.dev/programming-guides/encoding/>.

/// A protobuf message under construction. As in proto3, what is 0 or empty is
/// left out.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, and the mark that more follow.
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
    }

    /// Bytes, or another message, present even if empty.
    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, field: u64, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    /// A `google.protobuf.Timestamp`.
    pub(crate) fn time(&mut self, field: u64, milliseconds: u64) {
        let mut time = Self::with_capacity(12);
        time.number(1, milliseconds / 1000);
        time.number(2, milliseconds % 1000 * 1_000_000);
        self.bytes(field, &time.0);
    }

    /// What is a field already, with its tag.
    pub(crate) fn raw(&mut self, field: &[u8]) {
        self.0.extend_from_slice(field);
    }
}

/// The value of a field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A varint: integers, booleans and enums.
    Number(u64),
    /// Strings, bytes and messages.
    Bytes(&'a [u8]),
    /// A number of four or eight bytes; no field that is known here is one.
    Fixed,
}

/// A field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// All its bytes, with the tag.
    pub(crate) raw: &'a [u8],
}

/// These bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fields of a message, in the order in which they stand there.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                if i == 9 && *byte > 1 {
                    return Err(Malformed);
                }
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A tag or a length. Protobuf reads five digits of them and not more, also
    /// where the digits behind are zeros.
    fn short_varint(&mut self) -> Result<u64, Malformed> {
        let digits = self.0.len();
        let value = self.varint()?;
        if digits - self.0.len() > 5 {
            return Err(Malformed);
        }
        Ok(value)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.0;
        let tag = self.short_varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.short_varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        if tag >> 3 == 0 || tag > u64::from(u32::MAX) {
            return Err(Malformed);
        }
        Ok(Field {
            number: tag >> 3,
            value,
            raw: &start[..start.len() - self.0.len()],
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Text, which protobuf has as UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_base_128() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.as_bytes(), [0x08, 0x96, 0x01]);
    }

    #[test]
    fn zero_and_empty_are_left_out() {
        let mut message = Message::default();
        message.number(1, 0);
        message.text(2, "");
        assert_eq!(message.as_bytes(), b"");
    }

    #[test]
    fn a_field_above_15_has_a_tag_of_two_bytes() {
        let mut message = Message::default();
        message.text(20, "a");
        assert_eq!(message.as_bytes(), [0xa2, 0x01, 0x01, b'a']);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, u64::MAX);
        message.bytes(2, b"");
        message.text(300, "text");
        let fields: Vec<_> = Fields::of(message.as_bytes())
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect();
        assert_eq!(
            fields,
            [
                Ok((1, Value::Number(u64::MAX))),
                Ok((2, Value::Bytes(b""))),
                Ok((300, Value::Bytes(b"text"))),
            ]
        );
        let raw: Vec<u8> = Fields::of(message.as_bytes())
            .flat_map(|field| field.map_or(Vec::new(), |field| field.raw.to_vec()))
            .collect();
        assert_eq!(raw, message.as_bytes());
    }

    #[test]
    fn what_is_cut_or_wrong_is_malformed() {
        let wrong: [&[u8]; 8] = [
            &[0x08],
            &[0x08, 0x80],
            &[0x0a, 0x02, b'a'],
            &[0x09, 0, 0, 0],
            &[0x0d, 0, 0],
            &[0x0b],
            &[0x00, 0x00],
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
        ];
        for bytes in wrong {
            assert_eq!(Fields::of(bytes).last(), Some(Err(Malformed)), "{bytes:?}");
        }
    }

    #[test]
    fn tags_and_lengths_have_five_digits_at_most() {
        let right: [&[u8]; 3] = [
            &[0x8a, 0x80, 0x80, 0x80, 0x00, 0x01, b'a'],
            &[0x0a, 0x81, 0x80, 0x80, 0x80, 0x00, b'a'],
            &[0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00],
        ];
        for bytes in right {
            assert!(matches!(Fields::of(bytes).next(), Some(Ok(_))), "{bytes:?}");
        }
        let wrong: [&[u8]; 2] = [
            &[0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01, b'a'],
            &[0x0a, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00, b'a'],
        ];
        for bytes in wrong {
            assert_eq!(Fields::of(bytes).last(), Some(Err(Malformed)), "{bytes:?}");
        }
    }

    #[test]
    fn numbers_of_fixed_size_are_passed_over() {
        let bytes = [0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 1];
        let numbers: Vec<_> = Fields::of(&bytes)
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect();
        assert_eq!(
            numbers,
            [
                Ok((1, Value::Fixed)),
                Ok((2, Value::Fixed)),
                Ok((3, Value::Number(1))),
            ]
        );
    }
}
