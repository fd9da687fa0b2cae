/// One segment of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Must be equal.
    Literal(&'static str),
    /// `{name}`: exactly one segment.
    Capture(&'static str),
    /// `{name*}`: everything that is left, also nothing. At the end, or before one last literal (then never nothing).
    Rest(&'static str),
}

/// The most segments that a template may have.
const MAX_SEGMENTS: usize = 8;

/// The path of an endpoint below its mount, such as `data/{path*}`, `mounts/{path*}/tune` or `role/{role_name}/role-id`; checked when it is
/// built, which for a `const` is at compile time.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    text: &'static str,
    segments: [Segment; MAX_SEGMENTS],
    len: usize,
}

impl Template {
    /// Reads a template.
    ///
    /// # Panics
    /// On an empty segment, braces inside a segment, a rest capture that is not last, or more than eight segments:
    /// for a `const`, a compile error.
    #[expect(clippy::indexing_slicing, reason = "const context: indices are bounded by the loops above them")]
    pub const fn new(text: &'static str) -> Self {
        let mut segments = [Segment::Literal(""); MAX_SEGMENTS];
        let mut len = 0;
        let mut rest = text;
        while !rest.is_empty() {
            assert!(len < MAX_SEGMENTS, "a template has at most eight segments");
            let bytes = rest.as_bytes();
            let mut end = 0;
            while end < bytes.len() && bytes[end] != b'/' {
                end += 1;
            }
            let (segment, tail) = rest.split_at(end);
            segments[len] = parse_segment(segment);
            len += 1;
            rest = if tail.is_empty() { tail } else { tail.split_at(1).1 };
            assert!(tail.is_empty() || !rest.is_empty(), "a template does not end with a slash");
        }
        let mut at = 0;
        while at + 1 < len {
            let last = at + 2 == len && matches!(segments[at + 1], Segment::Literal(_));
            assert!(
                !matches!(segments[at], Segment::Rest(_)) || last,
                "after {{name*}} only one literal may follow"
            );
            at += 1;
        }
        Self { text, segments, len }
    }

    /// The template as written.
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// Its segments; none for the root of the mount.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.len).unwrap_or(&[])
    }

    /// The names of its captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = &'static str> {
        self.segments().iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Capture(name) | Segment::Rest(name) => Some(*name),
        })
    }
}

#[expect(clippy::indexing_slicing, reason = "const context: indices are bounded by the length checks")]
const fn parse_segment(segment: &'static str) -> Segment {
    let bytes = segment.as_bytes();
    assert!(!bytes.is_empty(), "a template has no empty segment");
    if bytes[0] != b'{' {
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != b'{' && bytes[at] != b'}', "a capture {{name}} is a whole segment");
            at += 1;
        }
        return Segment::Literal(segment);
    }
    assert!(bytes[bytes.len() - 1] == b'}' && bytes.len() > 2, "a capture is written {{name}} or {{name*}}");
    let (_, open) = segment.split_at(1);
    let (name, _) = open.split_at(open.len() - 1);
    let inner = name.as_bytes();
    if inner[inner.len() - 1] == b'*' {
        assert!(inner.len() > 1, "a rest capture is written {{name*}}");
        return Segment::Rest(name.split_at(name.len() - 1).0);
    }
    Segment::Capture(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_three_kinds() {
        const T: Template = Template::new("role/{role}/secret-id/{rest*}");
        assert_eq!(
            T.segments(),
            [
                Segment::Literal("role"),
                Segment::Capture("role"),
                Segment::Literal("secret-id"),
                Segment::Rest("rest")
            ]
        );
        assert_eq!(T.captures().collect::<Vec<_>>(), ["role", "rest"]);
        assert!(Template::new("").segments().is_empty());
    }

    #[test]
    fn wrong_ones_panic() {
        for text in
            ["a//b", "a/", "/a", "a{b}", "{b}c", "{}", "{*}", "{a*}/b/c", "{a*}/{b}", "1/2/3/4/5/6/7/8/9"]
        {
            assert!(std::panic::catch_unwind(|| Template::new(text)).is_err(), "{text}");
        }
    }
}
