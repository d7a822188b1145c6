//! Length-prefixed little-endian bytes.

/// A value that can be written to and read from bytes.
pub trait Codec: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes the value from the front; `None` when the bytes are not one.
    fn get(input: &mut &[u8]) -> Option<Self>;
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(len)?;
    *input = tail;
    Some(head)
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Codec for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(take(input, size_of::<Self>())?.try_into().ok()?))
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i32, i64);

impl Codec for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        match u8::get(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// Bytes that are not a list of [`Codec`] values: copied at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Codec for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.len().to_u64().put(out);
        out.extend_from_slice(&self.0);
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        let len = usize::try_from(u64::get(input)?).ok()?;
        Some(Self(take(input, len)?.to_vec()))
    }
}

impl Codec for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().to_u64().put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(Bytes::get(input)?.0).ok()
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().to_u64().put(out);
        self.iter().for_each(|item| item.put(out));
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        let len = u64::get(input)?;
        (0..len).map(|_| T::get(input)).collect()
    }
}

impl<T: Codec> Codec for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        Some(if bool::get(input)? {
            Some(T::get(input)?)
        } else {
            None
        })
    }
}

trait ToU64 {
    fn to_u64(self) -> u64;
}

impl ToU64 for usize {
    fn to_u64(self) -> u64 {
        self as u64
    }
}

/// Declares a struct whose fields are written in order.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)* }

        impl $crate::codec::Codec for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::codec::Codec::put(&self.$field, out);)*
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::codec::Codec::get(input)?,)* })
            }
        }
    };
}

/// Declares an enum of records; a variant is written as its place in the list.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $number:literal => $variant:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* },)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant { $($(#[$field_meta])* $field: $kind,)* },)* }

        impl $crate::codec::Codec for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field,)* } => {
                        out.push($number);
                        $($crate::codec::Codec::put($field, out);)*
                    })*
                }
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                match <u8 as $crate::codec::Codec>::get(input)? {
                    $($number => Some(Self::$variant { $($field: $crate::codec::Codec::get(input)?,)* }),)*
                    _ => None,
                }
            }
        }
    };
}

/// The bytes of one value.
pub fn encode<T: Codec>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// The value that `bytes` are, all of them.
pub fn decode<T: Codec>(mut bytes: &[u8]) -> Option<T> {
    let value = T::get(&mut bytes)?;
    bytes.is_empty().then_some(value)
}
