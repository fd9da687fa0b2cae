use std::ops::Range;

use coffre_api::{Op, Segment, Template};

use crate::serve::Engine;

/// Routes a path below a mount to a row: literal before `{name}` before `{rest*}`. The order of rows is irrelevant,
/// and a conflict is found by [`crate::check_table`].
///
/// The path decides before the operation: where a literal matches, its operations are the only ones.
#[derive(Default)]
pub struct Trie {
    root: Node,
}

#[derive(Default)]
struct Node {
    literals: Vec<(&'static str, Node)>,
    capture: Option<Box<Node>>,
    here: Leaf,
    rest: Leaf,
    /// Rest captures before one last literal.
    rest_before: Vec<(&'static str, Leaf)>,
}

#[derive(Default)]
struct Leaf {
    rows: Vec<(Op, usize, Template)>,
}

/// What a lookup found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A row, and where its captures stand in the path.
    Row {
        /// Its index in the table.
        row: usize,
        /// Name and byte range in the path below the mount.
        captures: Vec<(&'static str, Range<usize>)>,
    },
    /// The path is known, the operation is not; these are.
    WrongOp(Vec<Op>),
    /// No such path.
    Nothing,
}

impl Trie {
    /// The trie of an engine's table.
    #[must_use]
    pub fn from_rows<G: Engine>() -> Self {
        let mut trie = Self::default();
        for (at, row) in G::ROWS.iter().enumerate() {
            trie.insert(row.meta().op, at, row.meta().path);
            for also in row.meta().also {
                trie.insert(row.meta().op, at, *also);
            }
        }
        trie
    }

    fn insert(&mut self, op: Op, row: usize, template: Template) {
        let mut node = &mut self.root;
        let mut segments = template.segments().iter();
        while let Some(segment) = segments.next() {
            node = match segment {
                Segment::Literal(text) => node.literal(text),
                Segment::Capture(_) => node.capture.get_or_insert_default(),
                Segment::Rest(_) => {
                    return match segments.next() {
                        Some(Segment::Literal(last)) => node.before(last).rows.push((op, row, template)),
                        _ => node.rest.rows.push((op, row, template)),
                    };
                }
            };
        }
        node.here.rows.push((op, row, template));
    }

    /// Finds the row of a path below the mount (no leading or trailing slash; empty for the mount itself).
    #[must_use]
    pub fn find(&self, op: Op, path: &str) -> Found {
        let mut captures = Vec::new();
        let Some(leaf) = self.root.leaf(path, 0, &mut captures) else { return Found::Nothing };
        let Some((_, row, template)) = leaf.rows.iter().find(|(offered, _, _)| *offered == op) else {
            return Found::WrongOp(leaf.rows.iter().map(|(offered, _, _)| *offered).collect());
        };
        // Rows that share a node may name their captures differently: the names are the found row's own.
        Found::Row { row: *row, captures: template.captures().zip(captures).collect() }
    }
}

impl Node {
    fn literal(&mut self, text: &'static str) -> &mut Self {
        if !self.literals.iter().any(|(known, _)| *known == text) {
            self.literals.push((text, Self::default()));
        }
        let at = self.literals.iter().position(|(known, _)| *known == text).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "the entry was found or pushed two lines above")]
        &mut self.literals[at].1
    }

    fn before(&mut self, last: &'static str) -> &mut Leaf {
        if !self.rest_before.iter().any(|(known, _)| *known == last) {
            self.rest_before.push((last, Leaf::default()));
        }
        let at = self.rest_before.iter().position(|(known, _)| *known == last).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "the entry was found or pushed two lines above")]
        &mut self.rest_before[at].1
    }

    /// Walks the path from byte `at`; `captures` gets the ranges of what was captured on the way.
    fn leaf(&self, path: &str, at: usize, captures: &mut Vec<Range<usize>>) -> Option<&Leaf> {
        let rest = path.get(at..).unwrap_or_default();
        if rest.is_empty() {
            if !self.here.rows.is_empty() {
                return Some(&self.here);
            }
            return self.rest_leaf(path, at, captures);
        }
        let end = at + rest.find('/').unwrap_or(rest.len());
        let segment = path.get(at..end).unwrap_or_default();
        let next = (end + 1).min(path.len());
        if let Some((_, node)) = self.literals.iter().find(|(text, _)| *text == segment)
            && let Some(leaf) = node.leaf(path, next, captures)
        {
            return Some(leaf);
        }
        if let Some(node) = &self.capture {
            captures.push(at..end);
            if let Some(leaf) = node.leaf(path, next, captures) {
                return Some(leaf);
            }
            captures.pop();
        }
        self.rest_leaf(path, at, captures)
    }

    fn rest_leaf(&self, path: &str, at: usize, captures: &mut Vec<Range<usize>>) -> Option<&Leaf> {
        let rest = path.get(at..).unwrap_or_default();
        for (last, leaf) in &self.rest_before {
            if let Some(captured) = rest.strip_suffix(last).and_then(|head| head.strip_suffix('/'))
                && !captured.is_empty()
            {
                captures.push(at..at + captured.len());
                return Some(leaf);
            }
        }
        if self.rest.rows.is_empty() {
            return None;
        }
        captures.push(at.min(path.len())..path.len());
        Some(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trie() -> Trie {
        let mut trie = Trie::default();
        let rows = [
            (Op::Read, "data/{path*}"),
            (Op::List, "metadata/{path*}"),
            (Op::Write, "role/{name}"),
            (Op::Read, "role/{other}/role-id"),
            (Op::List, "role"),
            (Op::Write, "role/fixed"),
            (Op::Read, "{path*}"),
            (Op::Read, "mounts/{path*}"),
            (Op::Read, "mounts/{path*}/tune"),
        ];
        rows.iter().enumerate().for_each(|(at, (op, path))| trie.insert(*op, at, Template::new(path)));
        trie
    }

    fn row(op: Op, path: &str) -> Option<(usize, Vec<String>)> {
        match trie().find(op, path) {
            Found::Row { row, captures } => Some((
                row,
                captures.into_iter().map(|(name, span)| format!("{name}={}", &path[span])).collect(),
            )),
            _ => None,
        }
    }

    #[test]
    fn literal_then_capture_then_rest() {
        assert_eq!(row(Op::Read, "data/a/b"), Some((0, vec!["path=a/b".into()])));
        assert_eq!(row(Op::List, "metadata"), Some((1, vec!["path=".into()])));
        assert_eq!(row(Op::Write, "role/x"), Some((2, vec!["name=x".into()])));
        assert_eq!(row(Op::Read, "role/x/role-id"), Some((3, vec!["other=x".into()])));
        assert_eq!(row(Op::Read, "role/x/other"), Some((6, vec!["path=role/x/other".into()])));
        assert_eq!(row(Op::Write, "role/fixed"), Some((5, vec![])));
    }

    #[test]
    fn a_rest_may_stand_before_one_literal() {
        assert_eq!(row(Op::Read, "mounts/a/b/tune"), Some((8, vec!["path=a/b".into()])));
        assert_eq!(row(Op::Read, "mounts/tune"), Some((7, vec!["path=tune".into()])));
        assert_eq!(row(Op::Read, "mounts/a/tuned"), Some((7, vec!["path=a/tuned".into()])));
    }

    #[test]
    fn the_path_decides_before_the_operation() {
        assert_eq!(trie().find(Op::Delete, "role/fixed"), Found::WrongOp(vec![Op::Write]));
        assert_eq!(trie().find(Op::Write, "data/x"), Found::WrongOp(vec![Op::Read]));
    }
}
