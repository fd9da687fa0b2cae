use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A pattern with `{{…}}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Plain(String),
    /// What stands between the braces, trimmed.
    Value(String),
}

impl Template {
    /// Splits at the braces; `None` if they do not match.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once("{{") {
            let (value, tail) = after.split_once("}}")?;
            if plain.contains("}}") || value.contains("{{") {
                return None;
            }
            parts.push(Part::Plain(plain.to_owned()));
            parts.push(Part::Value(value.trim().to_owned()));
            rest = tail;
        }
        if rest.contains("}}") {
            return None;
        }
        parts.push(Part::Plain(rest.to_owned()));
        Some(Self(parts))
    }

    /// As it was written, but for blanks between the braces.
    pub(crate) fn text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Plain(plain) => plain.clone(),
            Part::Value(key) => format!("{{{{{key}}}}}"),
        };
        self.0.iter().map(part).collect()
    }

    /// Puts the values in; `None` if one is missing or unfit, and then the whole rule is dropped.
    pub(crate) fn render(&self, values: &TemplateValues) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(match part {
                Part::Plain(plain) => plain,
                Part::Value(key) => values.fit(key)?,
            });
        }
        Some(text)
    }
}

/// What is known about a caller's identity, for the `{{identity.…}}` parts of patterns.
///
/// A value stands for exactly one segment or a part of one. A value that is empty, longer than 512 bytes, `.` or `..`,
/// or that holds `+ * / { } " \` or an unprintable character resolves to nothing, and so drops the rule: it could widen
/// what the rule grants.
#[derive(Clone, Debug, Default)]
pub struct TemplateValues(HashMap<String, Option<String>>);

impl TemplateValues {
    /// Nothing known: each rule with a template is dropped.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The caller's entity.
    pub fn entity<'m>(
        &mut self,
        id: &str,
        name: &str,
        metadata: impl IntoIterator<Item = (&'m str, &'m str)>,
    ) {
        self.set("identity.entity.id".into(), id);
        self.set("identity.entity.name".into(), name);
        for (key, value) in metadata {
            self.set(format!("identity.entity.metadata.{key}"), value);
        }
    }

    /// One of the entity's aliases, by the accessor of its mount.
    pub fn alias<'m>(
        &mut self,
        accessor: &str,
        id: &str,
        name: &str,
        metadata: impl IntoIterator<Item = (&'m str, &'m str)>,
        custom_metadata: impl IntoIterator<Item = (&'m str, &'m str)>,
    ) {
        let base = format!("identity.entity.aliases.{accessor}");
        self.set(format!("{base}.id"), id);
        self.set(format!("{base}.name"), name);
        for (key, value) in metadata {
            self.set(format!("{base}.metadata.{key}"), value);
        }
        for (key, value) in custom_metadata {
            self.set(format!("{base}.custom_metadata.{key}"), value);
        }
    }

    /// A group that the entity is in.
    pub fn group<'m>(
        &mut self,
        id: &str,
        name: &str,
        metadata: impl IntoIterator<Item = (&'m str, &'m str)> + Clone,
    ) {
        for base in [format!("identity.groups.ids.{id}"), format!("identity.groups.names.{name}")] {
            self.set(format!("{base}.id"), id);
            self.set(format!("{base}.name"), name);
            for (key, value) in metadata.clone() {
                self.set(format!("{base}.metadata.{key}"), value);
            }
        }
    }

    /// Two different values under one key (a group called `a.metadata.b`, say) leave the key without any.
    fn set(&mut self, key: String, value: &str) {
        match self.0.entry(key) {
            Entry::Vacant(free) => {
                free.insert(Some(value.to_owned()));
            }
            Entry::Occupied(mut taken) => {
                if taken.get().as_deref() != Some(value) {
                    taken.insert(None);
                }
            }
        }
    }

    fn fit(&self, key: &str) -> Option<&str> {
        const MAX: usize = 512;
        let value = self.0.get(key)?.as_deref()?;
        let odd = |c: char| c.is_control() || c.is_whitespace() && c != ' ' || "+*/{}\"\\".contains(c);
        let unfit =
            value.is_empty() || value.len() > MAX || matches!(value, "." | "..") || value.contains(odd);
        (!unfit).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, name: &str) -> Option<String> {
        let mut values = TemplateValues::none();
        values.entity("e1", name, [("team", "api")]);
        Template::parse(text).unwrap().render(&values)
    }

    #[test]
    fn known_values_are_put_in() {
        assert_eq!(render("s/{{identity.entity.name}}/*", "bob").unwrap(), "s/bob/*");
        assert_eq!(
            render("{{ identity.entity.id }}-{{identity.entity.metadata.team}}", "x").unwrap(),
            "e1-api"
        );
        assert_eq!(render("s/{{identity.entity.metadata.none}}", "x"), None);
        assert_eq!(render("s/{{entity.id}}", "x"), None);
    }

    #[test]
    fn values_that_could_widen_the_rule_drop_it() {
        let long = "a".repeat(10_240);
        let unfit = [
            "*",
            "+",
            "a/../b",
            "b/x",
            "..",
            ".",
            "",
            "{{identity.entity.id}}",
            "a\nb",
            "a\"b",
            "a\0",
            &long,
        ];
        for name in unfit {
            assert_eq!(render("s/data/{{identity.entity.name}}/*", name), None, "{name:?}");
        }
    }

    #[test]
    fn braces_must_match() {
        for text in ["a/{{b", "a/b}}", "a/{{b{{c}}", "}}{{", "{{a}}}}"] {
            assert_eq!(Template::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_ambiguous_key_resolves_to_nothing() {
        let mut values = TemplateValues::none();
        values.group("1", "a", [("b.id", "x")]);
        values.group("2", "a.metadata.b", []);
        assert_eq!(values.fit("identity.groups.names.a.metadata.b.id"), None);
        assert_eq!(values.fit("identity.groups.names.a.id"), Some("1"));
    }
}
