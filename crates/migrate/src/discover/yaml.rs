//! YAML as a tree with line numbers, under bounds: an alias is a copy, and copies of copies are how a small file becomes a
//! large one.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Nodes of a file, copies included.
const MOST_NODES: usize = 50_000;
/// Levels of nesting.
const DEEPEST: usize = 48;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Without a value.
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// In file order; a merged key comes after those that are written.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn pairs(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(pairs) => pairs,
            Content::Null | Content::Scalar(_) | Content::List(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            Content::Null | Content::Scalar(_) | Content::Map(_) => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            Content::Null | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// All texts with their lines, those of keys excepted.
    pub(super) fn texts<'a>(&'a self, found: &mut Vec<(usize, &'a str)>) {
        match &self.content {
            Content::Null => {}
            Content::Scalar(text) => found.push((self.line, text)),
            Content::List(items) => items.iter().for_each(|item| item.texts(found)),
            Content::Map(pairs) => pairs.iter().for_each(|(_, node)| node.texts(found)),
        }
    }

    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Null | Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Self::size).sum(),
            Content::Map(pairs) => pairs.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// The first document of a text; `None` if it is no YAML, or too large.
pub(super) fn parse(text: &str) -> Option<Node> {
    let mut builder = Builder { open: vec![], anchors: HashMap::new(), nodes: 0, root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        builder.event(event, span.start.line())?;
        if builder.root.is_some() {
            break;
        }
    }
    builder.root
}

/// A list or map that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<String>,
}

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let content = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Content::Null,
                    text => Content::Scalar(text.to_owned()),
                };
                self.close(Node { line, content }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.start(Content::List(vec![]), line, anchor),
            Event::MappingStart(anchor, _) => self.start(Content::Map(vec![]), line, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let done = self.open.pop()?;
                self.close(done.node, done.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor)?;
                self.nodes += node.size();
                let node = node.clone();
                (self.nodes <= MOST_NODES).then_some(())?;
                self.close(node, 0)
            }
            _ => Some(()),
        }
    }

    fn start(&mut self, content: Content, line: usize, anchor: usize) -> Option<()> {
        self.open.push(Open { node: Node { line, content }, anchor, key: None });
        (self.open.len() <= DEEPEST).then_some(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        (self.nodes <= MOST_NODES).then_some(())?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match (&mut parent.node.content, parent.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(_), None) => parent.key = Some(node.text().unwrap_or_default().to_owned()),
            (Content::Map(pairs), Some(key)) if key == "<<" => merge(pairs, node),
            (Content::Map(pairs), Some(key)) => {
                // What is written wins over what was merged before it.
                pairs.retain(|(known, _)| *known != key);
                pairs.push((key, node));
            }
            (Content::Null | Content::Scalar(_), _) => {}
        }
        Some(())
    }
}

fn merge(pairs: &mut Vec<(String, Node)>, from: Node) {
    match from.content {
        Content::Map(merged) => {
            for (key, node) in merged {
                if !pairs.iter().any(|(known, _)| *known == key) {
                    pairs.push((key, node));
                }
            }
        }
        Content::List(several) => several.into_iter().for_each(|one| merge(pairs, one)),
        Content::Null | Content::Scalar(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_merge_and_bombs_are_refused() {
        let tree = parse("x: &x\n  a: 1\n  b: ~\ny:\n  <<: *x\n  a: 2\n").unwrap();
        let y = tree.get("y").unwrap();
        assert_eq!(y.get("a").unwrap().text(), Some("2"));
        assert_eq!(y.get("b").unwrap().text(), None);
        assert_eq!(y.get("a").unwrap().line, 6);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let before = vec![format!("*a{}", n - 1); 9].join(",");
            bomb += &format!("a{n}: &a{n} [{before}]\n");
        }
        assert!(parse(&bomb).is_none());
        assert!(parse(&"[".repeat(10_000)).is_none());
        assert!(parse("a: [").is_none());
    }
}
