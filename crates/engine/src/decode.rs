use std::cell::RefCell;

use coffre_api::RawInput;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::args::{Args, Decoded};

/// Why arguments did not decode. serde's own texts quote values, so they are never passed on: what is known is the
/// field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field that must be there is not.
    #[error("missing required field `{0}`")]
    Missing(&'static str),
    /// A field has a value of the wrong type or form.
    #[error("field `{0}` is not of its type or form")]
    Field(String),
    /// The arguments as a whole do not fit.
    #[error("the arguments do not have the expected form")]
    Other,
}

impl serde::de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// Decodes captures, then query (read, list, delete) or body (write, patch), into `T`.
pub fn decode<T: DeserializeOwned>(args: &Args<'_>) -> Result<Decoded<T>, DecodeError> {
    let mut fields: Vec<(&str, Val<'_>)> =
        args.captured().map(|(name, text)| (name, Val::Text(text))).collect();
    let mut replaced = Vec::new();
    let whole = args.meta.whole_body;
    let body;
    if let Some(field) = whole {
        body = whole_body(args.raw).ok_or(DecodeError::Other)?;
        fields.push((field, Val::Json(body)));
    } else if args.meta.op.has_body() {
        for (name, value) in args.raw.pairs() {
            if fields.iter().any(|(known, _)| *known == name) {
                replaced.push(name.to_owned());
            } else if value.get() != "null" {
                fields.push((name, Val::Json(value)));
            }
        }
    } else {
        collect_query(args.raw, &mut fields);
    }
    let ignored = RefCell::new(Vec::new());
    let input = T::deserialize(Root { fields, ignored: &ignored })?;
    let ignored = if args.meta.op.has_body() && whole.is_none() { ignored.into_inner() } else { Vec::new() };
    Ok(Decoded { input, warnings: warnings(&ignored, &replaced) })
}

fn whole_body(raw: &RawInput) -> Option<&RawValue> {
    // EXPOSE: decoded into the endpoint's own field, which wipes it.
    let text = raw.expose_body();
    serde_json::from_str(if text.trim().is_empty() { "{}" } else { text }).ok()
}

fn collect_query<'a>(raw: &'a RawInput, fields: &mut Vec<(&'a str, Val<'a>)>) {
    let captured = fields.len();
    for (name, text) in raw.query() {
        if fields.iter().take(captured).any(|(known, _)| *known == name) {
            continue;
        }
        match fields.iter_mut().skip(captured).find(|(known, _)| *known == name) {
            Some((_, Val::Many(texts))) => texts.push(text),
            Some((_, value)) => {
                let first = if let Val::Text(first) = value { vec![*first] } else { Vec::new() };
                *value = Val::Many(first.into_iter().chain([text]).collect());
            }
            None => fields.push((name, Val::Text(text))),
        }
    }
}

fn warnings(ignored: &[String], replaced: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(" ")));
    }
    if !replaced.is_empty() {
        warnings.push(format!(
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{}]",
            replaced.join(" ")
        ));
    }
    warnings
}

/// The arguments as a whole: a map, of which the target's fields are taken and the rest reported.
struct Root<'a, 'r> {
    fields: Vec<(&'a str, Val<'a>)>,
    ignored: &'r RefCell<Vec<String>>,
}

impl<'de> Deserializer<'de> for Root<'de, '_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Fields { rest: self.fields.into_iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (fields, ignored): (Vec<_>, Vec<_>) =
            self.fields.into_iter().partition(|(name, _)| known.contains(name));
        self.ignored.borrow_mut().extend(ignored.into_iter().map(|(name, _)| name.to_owned()));
        visitor.visit_map(Fields { rest: fields.into_iter(), value: None })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<'a> {
    rest: std::vec::IntoIter<(&'a str, Val<'a>)>,
    value: Option<(&'a str, Val<'a>)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.value = self.rest.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let (name, value) = self.value.take().ok_or(DecodeError::Other)?;
        seed.deserialize(value).map_err(|_| DecodeError::Field(name.to_owned()))
    }
}

/// One argument: text from the path or query, or JSON from the body.
enum Val<'a> {
    Text(&'a str),
    Many(Vec<&'a str>),
    Json(&'a RawValue),
}

/// Text is parsed when the target asks for a number or a bool; JSON goes to serde_json.
macro_rules! forward {
    ($($method:ident: $parse:ty => $visit:ident),* $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self {
                Self::Json(raw) => json(raw, |de| de.$method(visitor)),
                Self::Text(text) => visitor.$visit(text.parse::<$parse>().map_err(DecodeError::custom)?),
                Self::Many(_) => Err(DecodeError::Other),
            }
        }
    )* };
}

macro_rules! as_any {
    ($($method:ident),* $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self {
                Self::Json(raw) => json(raw, |de| de.$method(visitor)),
                other => other.deserialize_any(visitor),
            }
        }
    )* };
}

fn json<'de, T>(
    raw: &'de RawValue,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> Result<T, serde_json::Error>,
) -> Result<T, DecodeError> {
    read(&mut serde_json::Deserializer::from_str(raw.get())).map_err(DecodeError::custom)
}

impl<'de> Deserializer<'de> for Val<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Text(text) => visitor.visit_borrowed_str(text),
            Self::Many(texts) => visitor.visit_seq(Texts(texts.into_iter())),
            Self::Json(raw) => json(raw, |de| de.deserialize_any(visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // A null was dropped before: what is here is some.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self {
            Self::Json(raw) => json(raw, |de| de.deserialize_newtype_struct(name, visitor)),
            other => visitor.visit_newtype_struct(other),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self {
            Self::Json(raw) => json(raw, |de| de.deserialize_struct(name, fields, visitor)),
            _ => Err(DecodeError::Other),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self {
            Self::Json(raw) => json(raw, |de| de.deserialize_enum(name, variants, visitor)),
            Self::Text(text) => {
                visitor.visit_enum(serde::de::value::StrDeserializer::<DecodeError>::new(text))
            }
            Self::Many(_) => Err(DecodeError::Other),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    forward! {
        deserialize_bool: bool => visit_bool,
        deserialize_i8: i8 => visit_i8,
        deserialize_i16: i16 => visit_i16,
        deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64,
        deserialize_u8: u8 => visit_u8,
        deserialize_u16: u16 => visit_u16,
        deserialize_u32: u32 => visit_u32,
        deserialize_u64: u64 => visit_u64,
        deserialize_f32: f32 => visit_f32,
        deserialize_f64: f64 => visit_f64,
    }

    as_any! {
        deserialize_char, deserialize_str, deserialize_string, deserialize_bytes, deserialize_byte_buf,
        deserialize_unit, deserialize_seq, deserialize_map, deserialize_identifier, deserialize_ignored_any,
    }
}

struct Texts<'a>(std::vec::IntoIter<&'a str>);

impl<'de> SeqAccess<'de> for Texts<'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.0.next().map(|text| seed.deserialize(Val::Text(text))).transpose()
    }
}
