//! Forms whose brackets make objects and arrays: `data[merges][EMAIL]=…`, `ids[]=1`.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    record::{Fields, Raw, Record},
};

/// The most fields that one form may hold, and one row of CSV.
pub const MAX_FIELDS: usize = 10_000;
/// Brackets deeper than this stay part of the name, so that no name can build a tower.
const MAX_DEPTH: usize = 32;

/// A form as a tree. Nodes stand in one list and know their members by name, so that neither depth nor width costs
/// more than it should.
pub(super) struct FormTree {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// What was given for the name itself, in order.
    values: Vec<String>,
    /// The members, in the order of their first appearance.
    members: Vec<(String, usize)>,
    places: HashMap<String, usize>,
    /// Where the next `[]` goes, or further on.
    unnamed: usize,
}

impl FormTree {
    /// Reads a form (or a query, which is written the same way).
    pub fn parse(form: &[u8]) -> Result<Self> {
        let mut tree = Self { nodes: vec![Node::default()] };
        for (count, (name, value)) in form_urlencoded::parse(form).enumerate() {
            if count == MAX_FIELDS {
                return Err(Error::unexpected(format!("more than {MAX_FIELDS} form fields in one delivery")));
            }
            let node = steps(&name).into_iter().fold(0, |node, step| tree.member(node, step));
            tree.nodes[node].values.push(value.into_owned());
        }
        Ok(tree)
    }

    /// As one record.
    pub fn record(&self) -> Record {
        self.fields(0).record()
    }

    fn member(&mut self, node: usize, step: &str) -> usize {
        let next = self.nodes.len();
        let Node { members, places, unnamed, .. } = &mut self.nodes[node];
        let name = match step {
            "" if node > 0 => {
                // Each `[]` is a new item, behind those that are there.
                while places.contains_key(&unnamed.to_string()) {
                    *unnamed += 1;
                }
                *unnamed += 1;
                (*unnamed - 1).to_string()
            }
            _ => step.to_owned(),
        };
        if let Some(known) = places.get(&name) {
            return *known;
        }
        places.insert(name.clone(), next);
        members.push((name, next));
        self.nodes.push(Node::default());
        next
    }

    fn fields(&self, node: usize) -> Fields {
        self.nodes[node].members.iter().map(|(name, node)| (name.clone(), self.raw(*node))).collect()
    }

    /// Goes no deeper than [`MAX_DEPTH`].
    fn raw(&self, node: usize) -> Raw {
        let Node { values, members, .. } = &self.nodes[node];
        let own = match values.as_slice() {
            [one] => Raw::string(one),
            many => array(many.iter().map(|one| Raw::string(one))),
        };
        if members.is_empty() {
            return own;
        }
        if values.is_empty()
            && members.iter().enumerate().all(|(place, (name, _))| *name == place.to_string())
        {
            return array(members.iter().map(|(_, node)| self.raw(*node)));
        }
        let mut fields = self.fields(node);
        // A name that is both a value and an object keeps its value under no name.
        if !values.is_empty() {
            fields.set("", own);
        }
        fields.raw()
    }
}

fn array(items: impl Iterator<Item = Raw>) -> Raw {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(item.bytes());
    }
    out.push(b']');
    // Put together from JSON, it is JSON.
    Raw::parse(&out.into()).unwrap_or_else(|_| Raw::string(""))
}

/// `a[b][]` is `a`, `b`, ``; what is not made of whole brackets is a name as it stands.
fn steps(name: &str) -> Vec<&str> {
    let Some((head, rest)) = name.split_once('[').filter(|(head, _)| !head.is_empty()) else {
        return vec![name];
    };
    let Some(rest) = rest.strip_suffix(']') else { return vec![name] };
    let mut steps = vec![head];
    steps.extend(rest.splitn(MAX_DEPTH, "]["));
    match steps[1..].iter().any(|step| step.contains(['[', ']'])) && steps.len() <= MAX_DEPTH {
        true => vec![name],
        false => steps,
    }
}
