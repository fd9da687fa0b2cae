use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RoleName;
use crate::coerce::{CommaList, LooseBool, LooseInt, Ttl};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// One field of a role that has a path of its own, `role/{role_name}/<field>`, for GET, POST and DELETE.
///
/// The endpoints [`ReadField`], [`WriteField`] and [`ResetField`] are written once for all of them.
pub trait RoleField: Sized + Send + Sync + 'static {
    /// Its values.
    type Value: DeserializeOwned + Serialize + JsonSchema + Send + Sync;
    /// Where.
    const PATH: Template;
    /// Its names in bodies, the present one first: any is understood, all are answered.
    const NAMES: &'static [&'static str];
    /// `role_name` and [`RoleField::NAMES`], for decoding.
    const KNOWN: &'static [&'static str];
    /// What it means, for the schema.
    const ABOUT: &'static str;
    /// The summaries of GET, POST and DELETE.
    const SUMMARIES: [&'static str; 3];
}

/// Reads one field of a role.
pub struct ReadField<F>(PhantomData<F>);

/// Writes one field of a role.
pub struct WriteField<F>(PhantomData<F>);

/// Gives one field of a role its default back.
pub struct ResetField<F>(PhantomData<F>);

impl<F: RoleField> Endpoint for ReadField<F> {
    type Input = RoleName;
    type Output = FieldOutput<F>;
    const OP: Op = Op::Read;
    const PATH: Template = F::PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = F::SUMMARIES[0];
}

impl<F: RoleField> Endpoint for WriteField<F> {
    type Input = FieldInput<F>;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = F::PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = F::SUMMARIES[1];
}

impl<F: RoleField> Endpoint for ResetField<F> {
    type Input = RoleName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = F::PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = F::SUMMARIES[2];
}

/// A field's new value.
pub struct FieldInput<F: RoleField> {
    /// Name of the role.
    pub role_name: String,
    /// Under any of its names; the present one wins.
    pub value: F::Value,
}

impl<'de, F: RoleField> Deserialize<'de> for FieldInput<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("FieldInput", F::KNOWN, InputVisitor(PhantomData))
    }
}

struct InputVisitor<F>(PhantomData<F>);

impl<'de, F: RoleField> Visitor<'de> for InputVisitor<F> {
    type Value = FieldInput<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a role and a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldInput<F>, A::Error> {
        let (mut role_name, mut best) = (None, None);
        while let Some(name) = map.next_key::<String>()? {
            match F::NAMES.iter().position(|known| *known == name) {
                Some(rank) => {
                    let value = map.next_value::<F::Value>()?;
                    if best.as_ref().is_none_or(|(have, _)| rank < *have) {
                        best = Some((rank, value));
                    }
                }
                None if name == "role_name" => role_name = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let role_name = role_name.ok_or_else(|| A::Error::missing_field("role_name"))?;
        let (_, value) =
            best.ok_or_else(|| A::Error::missing_field(F::NAMES.first().copied().unwrap_or_default()))?;
        Ok(FieldInput { role_name, value })
    }
}

impl<F: RoleField> JsonSchema for FieldInput<F> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        schema_name::<F>("Input")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        let about = "Name of the role.";
        properties.insert("role_name".into(), serde_json::json!({ "type": "string", "description": about }));
        add_names::<F>(generator, &mut properties);
        json_schema!({ "type": "object", "properties": properties, "required": ["role_name"] })
    }
}

/// A field's value, under all of its names.
pub struct FieldOutput<F: RoleField>(pub F::Value);

impl<F: RoleField> Serialize for FieldOutput<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(F::NAMES.len()))?;
        for name in F::NAMES {
            map.serialize_entry(name, &self.0)?;
        }
        map.end()
    }
}

impl<F: RoleField> JsonSchema for FieldOutput<F> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        schema_name::<F>("Output")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        add_names::<F>(generator, &mut properties);
        json_schema!({ "type": "object", "properties": properties, "required": F::NAMES })
    }
}

/// `AppRoleField`, the path's words, and what it is: unique over all fields, as two paths may share a name.
fn schema_name<F: RoleField>(what: &str) -> std::borrow::Cow<'static, str> {
    let last = F::PATH.text().rsplit('/').next().unwrap_or_default();
    let words = last.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    format!("AppRoleField{}{what}", words.collect::<String>()).into()
}

fn add_names<F: RoleField>(
    generator: &mut SchemaGenerator,
    properties: &mut serde_json::Map<String, serde_json::Value>,
) {
    for name in F::NAMES {
        let mut schema = generator.subschema_for::<F::Value>();
        schema.insert("description".into(), F::ABOUT.into());
        properties.insert((*name).to_owned(), schema.to_value());
    }
}

/// Declares a field: its marker type and what [`RoleField`] wants to know.
macro_rules! fields {
    ($($(#[$about:meta])* $field:ident: $value:ty = $path:literal, [$($name:literal),+], $text:literal;)+) => { $(
        $(#[$about])*
        pub struct $field;

        impl RoleField for $field {
            type Value = $value;
            const PATH: Template = Template::new(concat!("role/{role_name}/", $path));
            const NAMES: &'static [&'static str] = &[$($name),+];
            const KNOWN: &'static [&'static str] = &["role_name", $($name),+];
            const ABOUT: &'static str = $text;
            const SUMMARIES: [&'static str; 3] = [
                concat!("Read the field ", $path, " of a role."),
                concat!("Write the field ", $path, " of a role."),
                concat!("Give the field ", $path, " of a role its default back."),
            ];
        }
    )+ };
}

fields! {
    /// Policies of the tokens.
    Policies: CommaList = "policies", ["token_policies", "policies"], "Policies of the tokens.";
    /// Networks from which a login may come, under the older name.
    BoundCidrList: CommaList = "bound-cidr-list", ["bound_cidr_list"], "Networks from which a login may come.";
    /// Networks from which a login may come.
    SecretIdBoundCidrs: CommaList = "secret-id-bound-cidrs", ["secret_id_bound_cidrs"],
        "Networks from which a login may come.";
    /// Networks from which a token may be used.
    TokenBoundCidrs: CommaList = "token-bound-cidrs", ["token_bound_cidrs"],
        "Networks from which a token may be used.";
    /// Whether a login needs a secret id.
    BindSecretId: LooseBool = "bind-secret-id", ["bind_secret_id"], "Whether a login needs a secret id.";
    /// How many logins a secret id is good for.
    SecretIdNumUses: LooseInt = "secret-id-num-uses", ["secret_id_num_uses"],
        "How many logins a secret id is good for; 0 is unlimited.";
    /// How long a secret id is good for.
    SecretIdTtl: Ttl = "secret-id-ttl", ["secret_id_ttl"], "How long a secret id is good for.";
    /// What renewal resets a token to.
    Period: Ttl = "period", ["token_period", "period"], "Renewal resets a token to this.";
    /// How many requests a token is good for.
    TokenNumUses: LooseInt = "token-num-uses", ["token_num_uses"],
        "How many requests a token is good for; 0 is unlimited.";
    /// Time to live of the tokens.
    TokenTtl: Ttl = "token-ttl", ["token_ttl"], "Time to live of the tokens.";
    /// Bound of all renewals of a token together.
    TokenMaxTtl: Ttl = "token-max-ttl", ["token_max_ttl"], "Bound of all renewals of a token together.";
    /// Whether secret ids stay in this cluster; can only be read.
    LocalSecretIds: LooseBool = "local-secret-ids", ["local_secret_ids"],
        "Whether secret ids stay in this cluster.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_understood_and_the_present_one_wins() {
        let read = |json| serde_json::from_str::<FieldInput<Policies>>(json).map(|input| input.value.0);
        assert_eq!(read(r#"{"role_name":"r","policies":"a"}"#).unwrap(), ["a"]);
        assert_eq!(read(r#"{"role_name":"r","policies":"a","token_policies":["b"]}"#).unwrap(), ["b"]);
        assert_eq!(read(r#"{"role_name":"r","token_policies":["b"],"policies":"a","x":1}"#).unwrap(), ["b"]);
        assert!(read(r#"{"role_name":"r"}"#).is_err());
        assert!(read(r#"{"policies":"a"}"#).is_err());
    }

    #[test]
    fn all_names_are_answered() {
        let text = serde_json::to_string(&FieldOutput::<Period>(Ttl::secs(60))).unwrap();
        assert_eq!(text, r#"{"token_period":60,"period":60}"#);
    }

    #[test]
    fn schemas_have_names_of_their_own() {
        assert_eq!(FieldInput::<BoundCidrList>::schema_name(), "AppRoleFieldBoundCidrListInput");
        assert_eq!(FieldOutput::<SecretIdTtl>::schema_name(), "AppRoleFieldSecretIdTtlOutput");
    }
}
